# Reads the tables, and the images of the data set on which networks are compared.
# Makes the page of the experiment: one file, to be opened in a browser.


rule report:
    """Make the page that is explored and sent to people."""
    input:
        standing(list(TABLES.values())),
        config=standing(TABLES["config"]),
        images=standing(PATHS.data("images.safetensors")),
    output:
        page=report(
            update(PATHS.experiment("report.html")),
            category="Report",
            caption="captions/report.rst",
            labels={"shows": "all of it, to explore"},
        ),
        provenance=update(PATHS.record(PATHS.experiment("report"))),
    log:
        PATHS.log(PATHS.experiment("report")),
    benchmark:
        PATHS.benchmark(PATHS.experiment("report"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        reads=image_files(config["data"]),
    script:
        "../workflow_scripts/report.py"
