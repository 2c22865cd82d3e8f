# What a job asks of a cluster: nothing here changes a result, and on one machine nothing is asked.
#
# Memory follows the work: widths of layers, positions, images. A job that is tried again asks for as
# much again, of time too. The sizes are of a process on the CPU; on a GPU most of it lies there.


# Work of seconds that needs little memory, and what only moves files, stays on the machine where
# Snakemake runs.
localrules:
    all,
    prepare_data,
    initialise,
    load_pretrained,
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
    name: {layer["name"]: LayerInfo(**layer) for layer in layers}
    for name, layers in LAYERS_OF_MODEL.items()
}
NEURONS = {
    name: {layer: listed.neurons for layer, listed in layers.items()}
    for name, layers in LISTED.items()
}
# Numbers that one image makes in all layers of a network.
ACTIVATIONS = {
    name: sum(layer["neurons"] * layer["height"] * layer["width"] for layer in layers)
    for name, layers in LAYERS_OF_MODEL.items()
}


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
    a, b = (NEURONS[PATHS.networks[key].model] for key in (wildcards.a, wildcards.b))
    return [(a[layer], b[layer]) for layer in layers]


def both(wildcards, layers):
    """Neurons of each of some layers, of both networks together."""
    return [sum(pair) for pair in widths(wildcards, layers)]


@functools.cache
def test_images():
    """About how many images networks are compared on."""
    return count_test_images(*(config["data"][key] for key in ("name", "root", "test_fraction")))


def recorded(layer):
    """Samples of one draw of a layer, at most, and draws."""
    positions, draws = config["extraction"]["positions"], config["extraction"]["draws"]
    if uses_all_samples(layer, test_images(), positions):
        return test_images() * layer.height * layer.width, 1
    return positions, draws


def recorded_of(wildcards, layers):
    """Likewise, of some layers of a job's pair: a list of (samples, draws)."""
    listed = LISTED[PATHS.networks[wildcards.a].model]
    return [recorded(listed[layer]) for layer in layers]


def readers_mb(data):
    """Processes that read image files, where images are files."""
    files = source_of(data["name"], data["root"]).files
    return PROCESS_MB / 2 * data["workers"] * files


def train_mb(wildcards, input, attempt):
    """Images, weights with their gradients and momentum, and a batch's activations with theirs."""
    model = PATHS.models_by_key[wildcards.model]
    batch = ACTIVATIONS[model.name] * model.training["batch_size"]
    images = 6 * input.size_mb + readers_mb(model.data)
    return asked(images + megabytes(6 * batch, 4), attempt)


def extract_mb(wildcards, input, attempt):
    """Images, a batch's activations, and of every layer and draw up to a shard that is not full."""
    model = PATHS.networks[wildcards.network].model
    batch = megabytes(2 * ACTIVATIONS[model] * config["extraction"]["batch_size"], 4)
    # Of a heat map's places there is one draw.
    places = config["heat_map"]["places"]
    waiting = sum(
        max(
            draws * min(SHARD_MB, megabytes(samples * layer.neurons, 4)),
            min(SHARD_MB, megabytes(places * layer.neurons, 4)),
        )
        for layer in LISTED[model].values()
        for samples, draws in [recorded(layer)]
    )
    images = 2 * input.size_mb + readers_mb(config["data"])
    return asked(images + batch + 2 * waiting, attempt)


def top_images_mb(wildcards, attempt):
    """The activations of one draw of a layer, and their order, one layer after another."""
    layers = LISTED[PATHS.networks[wildcards.network].model].values()
    return asked(
        megabytes(max(6 * recorded(each)[0] * each.neurons for each in layers), 4), attempt
    )


def match_mb(wildcards, attempt):
    """What the peeling of the widest layer works on; moments and factors of all, as they are saved."""
    layers = group_of(wildcards)
    neurons = both(wildcards, layers)
    draws = [draws for _, draws in recorded_of(wildcards, layers)]
    kept = sum(3 * count * n**2 for n, count in zip(neurons, draws))
    return asked(megabytes(MATRICES * max(neurons) ** 2 + kept), attempt)


def match_work(wildcards):
    """A reduction and a peeling for each layer and draw."""
    layers = group_of(wildcards)
    return sum(
        draws * (2 * samples * n**2 + 10 * n**3)
        for n, (samples, draws) in zip(both(wildcards, layers), recorded_of(wildcards, layers))
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
        for n, (_, draws) in zip(both(wildcards, layers), recorded_of(wildcards, layers))
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
    layers = group_of(wildcards)
    return asked(
        512
        + max(
            megabytes(2 * samples * b + MATRICES * (a + b) ** 2)
            for (a, b), (samples, _) in zip(
                widths(wildcards, layers), recorded_of(wildcards, layers)
            )
        ),
        attempt,
    )


def null_work(wildcards):
    """A product of both sides and a peeling for each layer and permutation."""
    layers = group_of(wildcards)
    return config["chance"]["permutations"] * sum(
        2 * samples * a * b + 10 * (a + b) ** 3
        for (a, b), (samples, _) in zip(widths(wildcards, layers), recorded_of(wildcards, layers))
    )


def heat_map_mb(wildcards, attempt):
    """All layers' moments, and as many matrices of the widest pair as a match has."""
    a, b = (NEURONS[PATHS.networks[key].model].values() for key in (wildcards.a, wildcards.b))
    moments = sum(n**2 for n in (*a, *b)) + sum(a) * sum(b)
    widest = max(a) + max(b)
    paths = len(a) * len(b) * widest
    return asked(512 + megabytes(2 * moments + 2 * paths + MATRICES * widest**2), attempt)
