# Reads the tables, and the images of the data set on which networks are compared.
# Makes the page of the experiment: one file, to be opened in a browser.


rule report:
    """Make the page that is explored and sent to people."""
    input:
        standing(list(TABLES.values())),
        config=standing(TABLES["config"]),
        images=standing(LAYOUT.data("images.safetensors")),
    output:
        page=report(
            update(LAYOUT.experiment("report.html")),
            category="Report",
            caption="captions/report.rst",
            labels={"shows": "all of it, to explore"},
        ),
        provenance=update(LAYOUT.record(LAYOUT.experiment("report"))),
    log:
        LAYOUT.log(LAYOUT.experiment("report")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.experiment("report"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        reads=image_files(config["data"]),
    script:
        "../workflow_scripts/report.py"
