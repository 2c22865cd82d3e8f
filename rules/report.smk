# Reads the tables, and the images of the data set on which networks are compared.
# Makes the page of the experiment: one file, to be opened in a browser.


rule report:
    """Make the page that is explored and sent to people."""
    input:
        rules.aggregate.output,
        config=rules.aggregate.output.config,
        images=LAYOUT.data("images.safetensors"),
        parts=[
            os.path.relpath(part)
            for part in sorted((ROOT / "subspace_match" / "report" / "page").iterdir())
        ],
        code=code("report"),
    output:
        page=report(
            LAYOUT.experiment("report.html"),
            category="Report",
            caption="captions/report.rst",
            labels={"shows": "all of it, to explore"},
        ),
    log:
        LAYOUT.log(LAYOUT.experiment("report")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.experiment("report"))
    resources:
        mem_mb=2000,
        runtime=10,
    script:
        "../workflow_scripts/report.py"
