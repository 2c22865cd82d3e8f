# What Snakemake does with outputs and times, no rules.
#
# A path says what made what lies there, so times say nothing: inputs are flagged as ancient. An output
# is replaced in one step when the new one is whole (subspace_match/storage/files.py), so the old one stands
# until then, however a job ends: outputs are flagged to be updated, not removed before a job runs.

import json

import snakemake.persistence


def standing(path):
    """An input whose time decides nothing, unless jobs are forced: then what is below is forced too.

    It is a path with wildcards, a list of paths, or a function of the wildcards that gives them.
    """

    def found(wildcards):
        if callable(path):
            named = path(wildcards)
        elif isinstance(path, str):
            named = path.format(**dict(wildcards.items()))
        else:
            named = list(path)
        return named if forced() else ancient(named)

    return found


def forced():
    """Whether results are to be made anew that are there already."""
    settings = workflow.dag_settings
    return bool(settings.forceall or settings.forcetargets or settings.forcerun)


def tell_jobs_whether_they_are_forced():
    """A job that is not forced takes what stands if it is whole. Known only when a run starts."""
    known = json.loads(os.environ[INVOCATION])
    os.environ[INVOCATION] = json.dumps(known | {"forced": forced()})


def _no_copy(persistence, path):
    """Snakemake would copy outputs that are updated, as if a job could leave half of one."""


def _stays(persistence, path):
    """Whether an output of a job that failed is that of one that did not; else Snakemake removes it."""
    if path.name.endswith(SUFFIX):
        return path.exists()
    try:
        job = Records().find(path)
        if job is not None and path.exists():
            check(path.absolute(), job)
            return True
    except ValueError:
        pass  # the record or the output is damaged
    return False


for keeper in vars(snakemake.persistence).values():
    if "backup_output" in getattr(keeper, "__dict__", {}):
        keeper.backup_output = keeper.cleanup_backup = _no_copy
        keeper.restore_output = _stays
