# Reads a data set's own files (or the digits that a package carries).
# Makes one file of uint8 images and labels with its split, and a record of it.


rule prepare_data:
    """Bring a data set into one form, once for all networks."""
    output:
        images=update(LAYOUT.data("images.safetensors", "{data}")),
        record=update(LAYOUT.data("data.json", "{data}")),
        provenance=update(LAYOUT.record(LAYOUT.data("data", "{data}"))),
    log:
        LAYOUT.log(LAYOUT.data("data", "{data}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.data("data", "{data}"))
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        data=lambda wildcards: deciding(LAYOUT.data_sets[wildcards.data]),
        root=lambda wildcards: LAYOUT.data_sets[wildcards.data]["root"],
        reads=lambda wildcards: data_source(LAYOUT.data_sets[wildcards.data]),
    script:
        "../workflow_scripts/prepare_data.py"
