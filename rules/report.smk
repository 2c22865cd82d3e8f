# Reads the tables, and the images that networks are compared on.
# Makes the page of the experiment: one file, opened in a browser.


rule report:
    """Make the page to explore and to share."""
    input:
        any_age(PLAN.tables.values()),
        config=any_age(PLAN.tables["config"]),
        images=any_age(PLAN.paths.data("images.safetensors")),
    output:
        page=report(
            update(PLAN.paths.experiment("report.html")),
            category="Report",
            caption="captions/report.rst",
            labels={"shows": "all results, to explore"},
        ),
        provenance=update(PLAN.paths.record(PLAN.paths.experiment("report"))),
    log:
        PLAN.paths.log(PLAN.paths.experiment("report")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.experiment("report"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        reads=PLAN.image_sources,
    script:
        "../workflow_scripts/report.py"
