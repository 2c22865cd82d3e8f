# What a job asks of a cluster: nothing here changes a result, and on one machine nothing is asked.
#
# Memory follows the work: widths of layers, positions, images. A job that is tried again asks for as
# much again, of time too. The sizes are of a process on the CPU; on a GPU most of it lies there.


# Work of seconds, and what only moves files, stays on the machine where Snakemake runs.
localrules:
    all,
    prepare_data,
    initialise,
    take_weights,
    top_images,
    aggregate,
    plot,


# A device of one's own for each job that computes. Slurm's plugin makes --gpus=1 of it.
GPU = int(config["device"] != "cpu")

PROCESS_MB = 2000  # Python, torch and CUDA's libraries
SHARD_MB = 64  # of a layer's activations, which are written when they are so many
# n x n matrices of float64 that are alive at once, n the neurons of both sides, as a bound.
MATRICES = 12
MINIMAL_MATRICES = 30

NEURONS = {
    name: {layer["name"]: layer["neurons"] for layer in layers}
    for name, layers in LAYERS_OF_MODEL.items()
}
# Numbers that one image makes in all layers of a network.
ACTIVATIONS = {
    name: sum(layer["neurons"] * layer["height"] * layer["width"] for layer in layers)
    for name, layers in LAYERS_OF_MODEL.items()
}
SAMPLES = config["extraction"]["positions"], config["extraction"]["draws"]


def asked(megabytes, attempt):
    """Memory to ask for, in steps that a person can read."""
    return attempt * (PROCESS_MB + 500 * -(-int(megabytes) // 500))


def minutes(first):
    """Time to ask for, more at each attempt."""
    return lambda wildcards, attempt: first * attempt


def megabytes(numbers, size=8):
    """Of so many numbers, float64 if nothing is said."""
    return numbers * size / 1e6


def widths(wildcards):
    """Neurons of the layer in both networks of a job's pair."""
    keys = wildcards.a, wildcards.b
    return [NEURONS[LAYOUT.networks[key].model][wildcards.layer] for key in keys]


def readers_mb(data):
    """Processes that read image files, where images are files."""
    files = source_of(data["name"], data["root"]).files
    return PROCESS_MB / 2 * data["workers"] * files


def train_mb(wildcards, input, attempt):
    """Images, weights with their gradients and momentum, and a batch's activations with theirs."""
    model = LAYOUT.models_by_key[wildcards.model]
    batch = ACTIVATIONS[model.name] * model.training["batch_size"]
    images = 6 * input.size_mb + readers_mb(model.data)
    return asked(images + megabytes(6 * batch, 4), attempt)


def extract_mb(wildcards, input, attempt):
    """Images, a batch's activations, and of every layer and draw up to a shard that is not full."""
    model = LAYOUT.networks[wildcards.network].model
    positions, draws = SAMPLES
    batch = megabytes(2 * ACTIVATIONS[model] * config["extraction"]["batch_size"], 4)
    waiting = sum(
        min(SHARD_MB, megabytes(positions * neurons, 4)) for neurons in NEURONS[model].values()
    )
    images = 2 * input.size_mb + readers_mb(config["data"])
    return asked(images + batch + 2 * draws * waiting, attempt)


def match_mb(wildcards, attempt):
    """Moments and factor of every draw, and what the peeling works on."""
    matrices = MATRICES + 2 * config["extraction"]["draws"]
    return asked(megabytes(matrices * sum(widths(wildcards)) ** 2), attempt)


def minimal_match_mb(wildcards, attempt):
    """A factor for each neuron that is walked together with others."""
    return asked(megabytes(MINIMAL_MATRICES * sum(widths(wildcards)) ** 2), attempt)


def null_mb(wildcards, attempt):
    """As a match of one draw, with the samples of one side, and products of several permutations."""
    samples = megabytes(2 * SAMPLES[0] * widths(wildcards)[1])
    return asked(512 + samples + megabytes(MATRICES * sum(widths(wildcards)) ** 2), attempt)


def heat_map_mb(wildcards, attempt):
    """All layers' moments, and as many matrices of the widest pair as a match has."""
    a, b = (NEURONS[LAYOUT.networks[key].model].values() for key in (wildcards.a, wildcards.b))
    moments = sum(n**2 for n in (*a, *b)) + sum(a) * sum(b)
    widest = max(a) + max(b)
    paths = len(a) * len(b) * widest
    return asked(512 + megabytes(2 * moments + 2 * paths + MATRICES * widest**2), attempt)
