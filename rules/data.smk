# Reads a data set's own files (or the digits that a package carries).
# Makes one file of uint8 images and labels with its split, and a record of it.


rule prepare_data:
    """Bring a data set into one form, once for all networks."""
    input:
        code=code("prepare_data"),
    output:
        images=LAYOUT.data("images.safetensors", "{data}"),
        record=LAYOUT.data("data.json", "{data}"),
    log:
        LAYOUT.log(LAYOUT.data("data", "{data}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.data("data", "{data}"))
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        data=lambda wildcards: LAYOUT.data_sets[wildcards.data],
    script:
        "../workflow_scripts/prepare_data.py"
