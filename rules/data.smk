# Reads the data set's own files (or the digits that a package carries).
# Makes one file of uint8 images and labels with its split, and a record of it.


rule prepare_data:
    """Bring a data set into one form, once for all networks."""
    input:
        code=code("prepare_data"),
    output:
        images=LAYOUT.data("images.safetensors"),
        record=LAYOUT.data("data.json"),
    log:
        LAYOUT.log(LAYOUT.data("data")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.data("data"))
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        data=LAYOUT.data_settings,
        digest=LAYOUT.data_digest,
    script:
        "../workflow_scripts/prepare_data.py"
