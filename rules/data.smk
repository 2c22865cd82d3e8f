# Reads a data set's own files (or the digits that a package carries).
# Makes one file of uint8 images and labels with its split, and a record of it.


rule prepare_data:
    """Bring a data set into one form, once for all networks."""
    output:
        images=update(PATHS.data("images.safetensors", "{data}")),
        record=update(PATHS.data("data.json", "{data}")),
        provenance=update(PATHS.record(PATHS.data("data", "{data}"))),
    log:
        PATHS.log(PATHS.data("data", "{data}")),
    benchmark:
        PATHS.benchmark(PATHS.data("data", "{data}"))
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        data=lambda wildcards: deciding(PATHS.data_sets[wildcards.data]),
        root=lambda wildcards: PATHS.data_sets[wildcards.data]["root"],
        reads=lambda wildcards: data_source(PATHS.data_sets[wildcards.data]),
    script:
        "../workflow_scripts/prepare_data.py"
