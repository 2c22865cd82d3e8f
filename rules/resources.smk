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
    report,


# A device of one's own for each job that computes. Slurm's plugin makes --gpus=1 of it.
GPU = int(config["device"] != "cpu")

PROCESS_MB = 2000  # Python, torch and CUDA's libraries
SHARD_MB = 64  # of a layer's activations, which are written when they are so many
# n x n matrices of float64 that are alive at once, n the neurons of both sides, as a bound.
MATRICES = 12
MINIMAL_MATRICES = 30
GIGAFLOPS = 10  # of a slow CPU's thread

LISTED = {
    name: {layer["name"]: layer for layer in layers} for name, layers in LAYERS_OF_MODEL.items()
}
NEURONS = {
    name: {layer: listed["neurons"] for layer, listed in layers.items()}
    for name, layers in LISTED.items()
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


def minutes(first, work=lambda wildcards: 0):
    """Time to ask for, with that of so many floating-point operations; more at each attempt."""

    def runtime(wildcards, attempt):
        computing = work(wildcards) / (config["threads"] * GIGAFLOPS * 1e9) / 60
        return attempt * (first + 10 * -(-int(computing) // 10))

    return runtime


def megabytes(numbers, size=8):
    """Of so many numbers, float64 if nothing is said."""
    return numbers * size / 1e6


def widths(wildcards, layers):
    """Neurons of each of some layers in the two networks of a job's pair, (a, b)."""
    a, b = (NEURONS[LAYOUT.networks[key].model] for key in (wildcards.a, wildcards.b))
    return [(a[layer], b[layer]) for layer in layers]


def both(wildcards, layers):
    """Neurons of each of some layers, of both networks together."""
    return [sum(pair) for pair in widths(wildcards, layers)]


def draws_of(wildcards, layers):
    """Draws of each of some layers: of images, which a fully connected layer sees, but one."""
    listed = LISTED[LAYOUT.networks[wildcards.a].model]
    return [1 if listed[layer]["kind"] == "fc" else SAMPLES[1] for layer in layers]


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
    """What the peeling of the widest layer works on; moments and factors of all, as they are saved."""
    layers = group_of(wildcards)
    neurons = both(wildcards, layers)
    kept = sum(3 * draws * n**2 for n, draws in zip(neurons, draws_of(wildcards, layers)))
    return asked(megabytes(MATRICES * max(neurons) ** 2 + kept), attempt)


def match_work(wildcards):
    """A reduction and a peeling for each layer and draw."""
    layers = group_of(wildcards)
    return sum(
        draws * (2 * SAMPLES[0] * n**2 + 10 * n**3)
        for n, draws in zip(both(wildcards, layers), draws_of(wildcards, layers))
    )


def one_layer_mb(wildcards, attempt):
    """What factors or decomposes the widest layer, one layer and draw after another."""
    return asked(megabytes(MATRICES * max(both(wildcards, group_of(wildcards))) ** 2), attempt)


def certify_work(wildcards):
    """Two factorisations for each layer and draw, and solutions for each epsilon."""
    layers = group_of(wildcards)
    operations = 10 + len(config["matching"]["epsilons"])
    return sum(
        draws * operations * n**3
        for n, draws in zip(both(wildcards, layers), draws_of(wildcards, layers))
    )


def measure_work(wildcards):
    """Some decompositions of each layer's moments."""
    return sum(50 * n**3 for n in both(wildcards, group_of(wildcards)))


def minimal_match_mb(wildcards, attempt):
    """A factor for each neuron that is walked together with others, one layer after another."""
    _, layers = minimal_group_of(wildcards)
    return asked(megabytes(MINIMAL_MATRICES * max(both(wildcards, layers)) ** 2), attempt)


def minimal_match_work(wildcards):
    """A walk for each neuron, which shares its beginning with others'."""
    _, layers = minimal_group_of(wildcards)
    return sum(100 * n**3 for n in both(wildcards, layers))


def null_mb(wildcards, attempt):
    """As a match of one layer and draw, with one side's samples and products of permutations."""
    return asked(
        512
        + max(
            megabytes(2 * SAMPLES[0] * b + MATRICES * (a + b) ** 2)
            for a, b in widths(wildcards, group_of(wildcards))
        ),
        attempt,
    )


def null_work(wildcards):
    """A product of both sides and a peeling for each layer and permutation."""
    return config["chance"]["permutations"] * sum(
        2 * SAMPLES[0] * a * b + 10 * (a + b) ** 3
        for a, b in widths(wildcards, group_of(wildcards))
    )


def heat_map_mb(wildcards, attempt):
    """All layers' moments, and as many matrices of the widest pair as a match has."""
    a, b = (NEURONS[LAYOUT.networks[key].model].values() for key in (wildcards.a, wildcards.b))
    moments = sum(n**2 for n in (*a, *b)) + sum(a) * sum(b)
    widest = max(a) + max(b)
    paths = len(a) * len(b) * widest
    return asked(512 + megabytes(2 * moments + 2 * paths + MATRICES * widest**2), attempt)
