import itertools
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from subspace_match.data.prepared import FileSplit, Split, TextSplit
from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.checkpoints import load_network, save_network
from subspace_match.networks.images import Images
from subspace_match.networks.memory_order import move_to
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.resume import ResumeFile
from subspace_match.networks.stages import Epoch, Stages, best_epoch
from subspace_match.networks.tasks import CLASSIFY, LANGUAGE_MODEL, Performance, evaluate
from subspace_match.networks.texts import Texts
from subspace_match.networks.training import (
    check_checkpoint_is_whole,
    learning_rate,
    steps_per_epoch,
    train,
)
from subspace_match.storage.files import atomic_write

SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "warmup_epochs": 1,
    "schedule": "cosine",
    "milestones": [2],
    "label_smoothing": 0.0,
    "task": "classify",
    "optimizer": "sgd",
    "epoch_steps": None,
    "crop_padding": 1,
    "noise": 0.0,
    "flip": False,
    "amp": False,
    "compile": False,
}
ARCHITECTURE = {"name": "vgg11_bn", "width": 0.05, "hidden": [8], "channels": 1, "classes": 2}


def two_classes(count: int, seed: int, device: str = "cpu") -> Images:
    """Make images whose upper or lower half is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 100, (count, 1, 32, 32))
    pixels[labels == 1, :, :16] += 120
    pixels[labels == 0, :, 16:] += 120
    split = Split(pixels.astype(np.uint8), labels, np.arange(count))
    return Images.on_device(split, Preprocessing((0.4,), (0.25,)), torch.device(device))


def fresh(seed: int = 0) -> nn.Module:
    network = build(**ARCHITECTURE)
    initialise(network, seed)
    return move_to(network, torch.device("cpu"))


class KilledError(Exception):
    pass


def save(path: Path, network: nn.Module) -> None:
    with atomic_write(path) as temporary:
        tensors = network.state_dict().items()
        save_file({name: t.contiguous().clone() for name, t in tensors}, temporary)


def stage(resume_file: Path, name: str) -> nn.Module:
    network = fresh()
    network.load_state_dict(load_file(kept(resume_file) / f"{name}.safetensors"))
    return network


def run(
    resume_file: Path,
    *,
    kill_after: int | None = None,
    device: str = "cpu",
    network: nn.Module | None = None,
    data: tuple[Images, Images] | None = None,
    **changes: Any,
) -> tuple[nn.Module, list[Epoch]]:
    """Train; the stages are kept beside the resume file."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == kill_after:
            raise KilledError

    network = (network or fresh()).to(device)
    options: dict[str, Any] = {"seed": 0, "identity": "this code"} | changes.pop("options", {})
    stages = Stages(kept(resume_file), changes.pop("epochs_kept", [1, 2]), save)
    history = train(
        network,
        *(data or (two_classes(70, 0, device), two_classes(30, 1, device))),
        SETTINGS | changes,
        stages=stages,
        resume_file=resume_file,
        step_done=step,
        epoch_done=lambda _: None,
        **options,
    )
    return network, history


def kept(resume_file: Path) -> Path:
    return resume_file.with_name(f"{resume_file.name}-kept")


def kept_files(resume_file: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in kept(resume_file).iterdir()}


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_training_learns(tmp_path: Path, device: str) -> None:
    network, history = run(tmp_path / "resume", device=device)
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert history[-1].train_loss < history[0].train_loss
    found = evaluate(network, two_classes(30, 1, device), CLASSIFY, 16)
    assert (history[-1].test_accuracy, history[-1].test_loss) == (found.accuracy, found.loss)
    assert found.accuracy > 0.9


def test_the_seed_decides_the_network(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a")
    second, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", options={"seed": 1})
    assert_equal(first, second)
    assert not torch.equal(first.output.weight, other.output.weight)


def test_all_bits_of_the_seed_count(tmp_path: Path) -> None:
    """Seeds 0 and 4096 used to give the same order of images."""
    first, _ = run(tmp_path / "a")
    other, _ = run(tmp_path / "b", options={"seed": 4096})
    assert not torch.equal(first.output.weight, other.output.weight)


ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3}


@pytest.mark.parametrize("changes", [{}, {"momentum": 0.0}, {"noise": 0.3}, {"amp": True}, ADAMW])
def test_a_killed_training_resumes_bit_for_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole, history = run(tmp_path / "whole", **changes)
    for kill_after in (3, 5, 7, 11):
        file = tmp_path / f"killed after {kill_after}"
        with pytest.raises(KilledError):
            run(file, kill_after=kill_after, **changes)
        assert file.exists() == (kill_after > 4)
        resumed, resumed_history = run(file, **changes)
        assert_equal(whole, resumed)
        assert resumed_history == history
        assert kept_files(file) == kept_files(tmp_path / "whole")


@pytest.mark.parametrize("version", ["1.13.1", torch.__version__])
def test_a_training_that_resumes_with_another_torch_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    whole, _ = run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", version)
        with pytest.raises(KilledError):
            run(tmp_path / "resume", kill_after=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumed, history = run(tmp_path / "resume")
    assert_equal(whole, resumed)  # finished epochs are used nevertheless
    now = f"cpu, torch {torch.__version__}"
    then = f"cpu, torch {version}"
    assert [epoch.trained_on for epoch in history] == [then, now, now]
    words = f"epochs up to 1 were trained on {then}, the others are trained on {now}: "
    own = [str(one.message) for one in caught if "were trained on" in str(one.message)]
    assert [one.startswith(words) for one in own] == [True] * (then != now)


def test_a_training_that_has_all_its_epochs_says_nothing_of_another_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the last epoch and the job's record."""
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.13.1")
        _, history = run(tmp_path / "resume")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, again = run(tmp_path / "resume")
    assert again == history


def test_a_training_killed_between_a_stage_and_its_resume_file_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole")

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("subspace_match.networks.training.ResumeFile.save", killed)
        with pytest.raises(KilledError):
            run(tmp_path / "resume")
    assert "epoch_1" in kept_files(tmp_path / "resume")
    run(tmp_path / "resume")
    assert kept_files(tmp_path / "resume") == kept_files(tmp_path / "whole")


class DropoutNetwork(nn.Module):
    """Use dropout, which draws from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.output = nn.Linear(32 * 32, 2)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        dropped = nn.functional.dropout(self.norm(batch), 0.5, self.training)
        return self.output(dropped.flatten(1))


def dropout_network() -> nn.Module:
    network = DropoutNetwork()
    initialise(network, 0)
    return network


def test_dropout_resumes_bit_for_bit_and_keeps_the_global_generator(tmp_path: Path) -> None:
    network, before = dropout_network(), torch.get_rng_state()
    whole, _ = run(tmp_path / "whole", network=network)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(KilledError):
        run(tmp_path / "resume", network=dropout_network(), kill_after=6)
    torch.rand(1)
    resumed, _ = run(tmp_path / "resume", network=dropout_network())
    assert_equal(whole, resumed)


def test_a_training_on_image_files_resumes_bit_for_bit_for_any_workers(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 60, (40, 50, 3), dtype=np.uint8)
        pixels[..., number % 2] += 150
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    files = tuple(f"{number}.png" for number in range(40))
    split = FileSplit(files, np.arange(40) % 2, np.arange(40), tmp_path)
    preprocessing = Preprocessing((0.3,) * 3, (0.25,) * 3, resize=36, crop=32)

    def trained(resume_file: Path, workers: int, **options: Any) -> tuple[nn.Module, list[Epoch]]:
        images = Images.on_device(split, preprocessing, torch.device("cpu"), workers=workers)
        network = build(**ARCHITECTURE | {"channels": 3})
        initialise(network, 0)
        return run(resume_file, data=(images, images), network=network, flip=True, **options)

    whole, history = trained(tmp_path / "whole", 0)
    assert history[-1].train_accuracy > 0.9
    with pytest.raises(KilledError):
        trained(tmp_path / "resume", 2, kill_after=3)
    resumed, _ = trained(tmp_path / "resume", 1)
    assert_equal(whole, resumed)
    assert kept_files(tmp_path / "resume") == kept_files(tmp_path / "whole")


class Bigrams(nn.Module):
    """Score the next token from the last one; the scores are those of a tied embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 8)
        self.mix = nn.Linear(8, 8)
        self.output = nn.Linear(8, 4, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> Any:
        scores = self.output(self.mix(self.embedding(tokens)))
        return {"logits": scores}  # as transformers returns them


def bigrams() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Bigrams()


def counting_texts(count: int, device: str = "cpu") -> Texts:
    """Make windows in which each token follows from the one before it."""
    first = np.arange(count)[:, None]
    tokens = ((first + np.arange(6)) % 4).astype(np.uint8)
    return Texts(TextSplit(tokens, np.arange(count)), torch.device(device))


def test_a_language_model_learns_and_resumes_bit_for_bit(tmp_path: Path, device: str) -> None:
    settings = ADAMW | {"task": LANGUAGE_MODEL, "learning_rate": 0.05, "epochs": 4}

    def trained(resume_file: Path, **more: Any) -> tuple[nn.Module, list[Epoch]]:
        data = counting_texts(64, device), counting_texts(8, device)
        return run(resume_file, data=data, network=bigrams(), device=device, **settings, **more)

    whole, history = trained(tmp_path / "whole")
    assert history[-1].test_loss < 0.2 < 1 < history[0].train_loss
    assert history[-1].test_accuracy == 1
    with pytest.raises(KilledError):
        trained(tmp_path / "resume", kill_after=10)
    resumed, again = trained(tmp_path / "resume")
    if device == "cpu":
        assert_equal(whole, resumed)
        assert history == again


def test_the_loss_of_a_language_model_is_that_of_a_loop_over_tokens() -> None:
    network, texts = bigrams(), counting_texts(5)
    found = evaluate(network, texts, LANGUAGE_MODEL, 2)
    losses, right = [], 0
    for window in texts.evenly_spaced(5).tolist():
        for token, following in itertools.pairwise(window):
            scores = network(torch.tensor([[token]]))["logits"][0, 0].detach().double()
            losses.append(-float(scores.log_softmax(0)[following]))
            right += int(scores.argmax()) == following
    assert len(losses) == 5 * 5
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert found.accuracy == right / 25


def test_adamw_takes_the_step_of_its_definition(tmp_path: Path) -> None:
    """Loshchilov & Hutter 2019, Algorithm 2, for the first step."""
    rate, decay = 0.01, 0.1
    settings = ADAMW | {"task": LANGUAGE_MODEL, "learning_rate": rate, "weight_decay": decay}
    texts, before = counting_texts(16), bigrams()
    scores = before(texts.evenly_spaced(16))["logits"][:, :-1]
    targets = texts.evenly_spaced(16)[:, 1:]
    nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten()).backward()
    after, _ = run(
        tmp_path / "resume",
        data=(texts, texts),
        network=bigrams(),
        **settings | {"epochs": 1, "warmup_epochs": 0},
        epochs_kept=[],
    )
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        step = old.grad / (old.grad.abs() + 1e-8)  # both averages are corrected for their start
        expected = old * (1 - rate * decay) - rate * step
        torch.testing.assert_close(new, expected.detach(), rtol=1e-4, atol=1e-6)


def test_stages_contain_the_networks_of_their_epochs(tmp_path: Path) -> None:
    network, history = run(tmp_path / "resume", epochs_kept=[2])
    best = f"best_{best_epoch(history, CLASSIFY).epoch}"
    assert set(kept_files(tmp_path / "resume")) == {"initial", "epoch_2", best, "last"}
    loaded = {name: stage(tmp_path / "resume", name) for name in kept_files(tmp_path / "resume")}
    assert_equal(loaded["initial"], fresh())
    assert_equal(loaded["last"], network)
    test = two_classes(30, 1)

    def accuracy(stage: str) -> float:
        return evaluate(loaded[stage], test, CLASSIFY, 16).accuracy

    assert accuracy("epoch_2") == history[1].test_accuracy
    assert accuracy(best) == max(epoch.test_accuracy for epoch in history)


def test_the_first_of_equally_good_epochs_is_the_best(tmp_path: Path) -> None:
    scores = enumerate([(0.2, 3.0), (0.7, 2.5), (0.6, 2.0), (0.7, 2.0)], 1)
    history = [Epoch(n, 0.1, 1.0, 0.5, *test, "cpu") for n, test in scores]
    assert best_epoch(history, CLASSIFY).epoch == 2
    assert best_epoch(history, LANGUAGE_MODEL).epoch == 3
    saved: list[str] = []

    def keep(path: Path, _: nn.Module) -> None:
        saved.append(path.stem)
        path.touch()

    stages = Stages(tmp_path, [3], keep)
    for done in range(1, 5):
        stages.after_epoch(fresh(), history[:done])
        stages.remove_previous_best(history[:done])
    assert saved == ["best_1", "best_2", "epoch_3"]
    assert {path.stem for path in tmp_path.iterdir()} == {"best_2", "epoch_3"}


def test_a_finished_training_keeps_its_stages(tmp_path: Path) -> None:
    """A training killed after the last epoch does not repeat a step."""
    run(tmp_path / "resume")
    expected = kept_files(tmp_path / "resume")
    (kept(tmp_path / "resume") / "last.safetensors").unlink()
    run(tmp_path / "resume", kill_after=1)
    assert kept_files(tmp_path / "resume") == expected


def test_a_resume_file_without_its_stages_is_not_used_with_a_warning(tmp_path: Path) -> None:
    run(tmp_path / "resume")
    expected = kept_files(tmp_path / "resume")
    (kept(tmp_path / "resume") / "epoch_1.safetensors").unlink()
    (kept(tmp_path / "resume") / "stale").touch()
    warning = r"cannot be used \(.*epoch_1\.safetensors is missing\): training starts from"
    with pytest.warns(UserWarning, match=warning):
        run(tmp_path / "resume")
    assert kept_files(tmp_path / "resume") == expected


def test_training_starts_from_the_weights_of_a_network(tmp_path: Path) -> None:
    network, _ = run(tmp_path / "first")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _, history = run(tmp_path / "second", network=network, learning_rate=1e-6)
    initial = stage(tmp_path / "second", "initial")
    for name, tensor in initial.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert history[0].train_accuracy > 0.9


def test_bfloat16_learns_with_float32_weights_and_evaluation(tmp_path: Path, device: str) -> None:
    # A seed that learns the task completely, so that rounding does not matter.
    network, history = run(tmp_path / "amp", amp=True, device=device, network=fresh(1))
    exact, _ = run(tmp_path / "exact", device=device, network=fresh(1))
    assert all(p.dtype == torch.float32 for p in network.parameters())
    ((inputs, _),) = two_classes(2, 0, device).batches(2)
    assert network(inputs).dtype == torch.float32
    assert not torch.equal(network.output.weight, exact.output.weight)
    assert history[-1].test_accuracy > 0.9


def test_a_compiled_training_learns_and_resumes_bit_for_bit(tmp_path: Path, device: str) -> None:
    def trained(resume_file: Path, **options: Any) -> tuple[nn.Module, list[Epoch]]:
        return run(resume_file, compile=True, device=device, network=dropout_network(), **options)

    compiled, history = trained(tmp_path / "whole")
    assert history[-1].test_accuracy > 0.9
    with pytest.raises(KilledError):
        trained(tmp_path / "resume", kill_after=6)
    resumed, _ = trained(tmp_path / "resume")
    if device == "cpu":
        assert_equal(compiled, resumed)
    assert set(compiled.state_dict()) == set(dropout_network().state_dict())


@pytest.mark.parametrize("epochs", [[0], [4], [1, 7]])
def test_stages_beyond_the_last_epoch_are_refused(tmp_path: Path, epochs: list[int]) -> None:
    with pytest.raises(
        ValueError, match=r"stages: expected epochs from 1 to training\.epochs \(3\)"
    ):
        run(tmp_path / "resume", epochs_kept=epochs)


def test_a_data_set_without_training_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="training: expected training images, found none"):
        train(
            fresh(),
            two_classes(0, 0),
            two_classes(3, 0),
            SETTINGS,
            seed=0,
            stages=Stages(tmp_path, [], save),
            resume_file=tmp_path / "resume",
            identity="",
            step_done=lambda: None,
            epoch_done=lambda _: None,
        )


def test_a_resume_file_of_other_code_is_not_used_with_a_warning(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "resume", kill_after=6, options={"identity": "older code", "seed": 4})
    with pytest.warns(UserWarning, match="to another configuration, code.*: training starts from"):
        network, _ = run(tmp_path / "resume")
    assert_equal(whole, network)


def test_a_damaged_resume_file_is_renamed_with_a_warning(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    resume_file = tmp_path / "resume.safetensors"
    with pytest.raises(KilledError):
        run(resume_file, kill_after=6)
    content = resume_file.read_bytes()
    resume_file.write_bytes(content[:-10])
    warning = r"resume\.safetensors: expected a whole file.*\.damaged, training starts from"
    with pytest.warns(UserWarning, match=warning):
        run(resume_file)
    assert kept_files(resume_file) == kept_files(tmp_path / "whole")
    assert (tmp_path / "resume.safetensors.damaged").read_bytes() == content[:-10]


def test_training_does_not_resume_with_a_damaged_stage(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "resume", kill_after=6)
    for stage in ("initial", "epoch_1", "best_1"):
        content = bytearray((kept(tmp_path / "resume") / f"{stage}.safetensors").read_bytes())
        content[-1] ^= 1
        (kept(tmp_path / "resume") / f"{stage}.safetensors").write_bytes(content)
        warning = rf"{stage}\.safetensors has the SHA-256 .* instead of .*training starts from"
        with pytest.warns(UserWarning, match=warning), pytest.raises(KilledError):
            run(tmp_path / "resume", kill_after=6)
    run(tmp_path / "resume")
    assert kept_files(tmp_path / "resume") == kept_files(tmp_path / "whole")


def test_a_damaged_stage_is_not_copied(tmp_path: Path) -> None:
    _, history = run(tmp_path / "resume")
    stages = Stages(kept(tmp_path / "resume"), [1, 2], save)
    stages.keep("last", fresh(), history)
    stages.copy("last", history, tmp_path / "last.safetensors")
    assert_equal(stage(tmp_path / "resume", "last"), fresh())
    file = kept(tmp_path / "resume") / "last.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"last\.safetensors has the SHA-256 .* remove it and run"):
        stages.copy("last", history, tmp_path / "again.safetensors")
    assert not (tmp_path / "again.safetensors").exists()


def test_a_training_killed_after_a_better_epoch_resumes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The previous best stage exists until the resume file contains the better one."""
    accuracies = iter([0.1, 0.2, 0.3])
    name = "subspace_match.networks.training.evaluate"
    monkeypatch.setattr(name, lambda *_: Performance(next(accuracies), 1.0))
    saved = ResumeFile.save

    def killed(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(
        ResumeFile,
        "save",
        lambda self, state, progress: (saved if len(progress["history"]) == 1 else killed)(
            self, state, progress
        ),
    )
    with pytest.raises(KilledError):
        run(tmp_path / "resume")
    assert {"best_1", "best_2"} < set(kept_files(tmp_path / "resume"))
    monkeypatch.setattr(ResumeFile, "save", saved)
    accuracies = iter([0.05, 0.04])  # exaggerated rounding differences of a GPU
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, history = run(tmp_path / "resume")
    assert best_epoch(history, CLASSIFY).epoch == 1
    assert set(kept_files(tmp_path / "resume")) == {
        "initial",
        "epoch_1",
        "epoch_2",
        "best_1",
        "last",
    }


def test_the_rate_warms_up_and_decays_by_a_cosine() -> None:
    rates = [learning_rate(SETTINGS, 10, step) for step in range(30)]
    assert rates[:10] == pytest.approx([0.005 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.05)
    assert rates[20] == pytest.approx(0.025)
    assert rates[-1] == pytest.approx(0.025 * (1 + math.cos(math.pi * 19 / 20)))


def test_the_rate_is_divided_at_milestones() -> None:
    settings = SETTINGS | {"schedule": "step", "milestones": [1, 3], "warmup_epochs": 0}
    rates = [learning_rate(settings, 2, step) for step in range(8)]
    assert rates == pytest.approx([0.05, 0.05, *[0.005] * 4, 0.0005, 0.0005])


def test_an_epoch_has_only_whole_batches() -> None:
    assert steps_per_epoch(70, SETTINGS) == 4
    assert steps_per_epoch(10, SETTINGS) == 1


def test_an_epoch_has_at_most_the_configured_steps(tmp_path: Path) -> None:
    assert steps_per_epoch(70, SETTINGS | {"epoch_steps": 3}) == 3
    assert steps_per_epoch(70, SETTINGS | {"epoch_steps": 9}) == 4
    whole, history = run(tmp_path / "whole", epoch_steps=1)
    with pytest.raises(KilledError):
        run(tmp_path / "resume", epoch_steps=1, kill_after=2)
    resumed, again = run(tmp_path / "resume", epoch_steps=1)
    assert_equal(whole, resumed)
    assert history == again
    assert len(history) == 3


def test_accuracy_counts_every_image() -> None:
    images = two_classes(51, 0)

    class Guess(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0]]).expand(len(batch), 2)

    found = evaluate(Guess(), images, CLASSIFY, 10)
    ones = int(images.labels.sum())
    assert found.accuracy == ones / 51
    loss = (ones * math.log(1 + math.exp(-1)) + (51 - ones) * math.log(1 + math.e)) / 51
    assert found.loss == pytest.approx(loss, rel=1e-6)


def test_a_saved_network_computes_the_same(tmp_path: Path) -> None:
    network = fresh().eval()
    preprocessing = Preprocessing((0.4,), (0.25,))
    save_network(tmp_path / "network.safetensors", network, ARCHITECTURE, preprocessing)
    loaded, its_preprocessing = load_network(tmp_path / "network.safetensors", torch.device("cpu"))
    assert its_preprocessing == preprocessing
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(network(images), loaded(images))


def test_the_error_names_damaged_weights(tmp_path: Path) -> None:
    preprocessing = Preprocessing((0.4,), (0.25,))
    save_network(tmp_path / "network.safetensors", fresh(), ARCHITECTURE, preprocessing)
    content = (tmp_path / "network.safetensors").read_bytes()
    (tmp_path / "network.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"network\.safetensors: .* it is damaged: remove it"):
        load_network(tmp_path / "network.safetensors", torch.device("cpu"))


class Scaled(nn.Module):
    """Divide by a running mean, kept as an attribute, a buffer that is not saved, or a buffer."""

    def __init__(self, kept: str) -> None:
        super().__init__()
        self.scores = nn.Linear(4, 3)
        self.mean: Any = 1.0
        if kept != "attribute":
            del self.mean
            self.register_buffer("mean", torch.ones(()), persistent=kept == "buffer")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        scores = self.scores(inputs)
        if self.training:
            own = scores.detach().abs().mean()
            self.mean = 0.5 * self.mean + 0.5 * (own if torch.is_tensor(self.mean) else float(own))
        return scores / self.mean


@pytest.mark.parametrize("kept", ["attribute", "not saved", "buffer"])
def test_what_training_changes_outside_of_the_state_dict_is_an_error(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.made", lambda: Scaled(kept), raising=False)
    architecture = {"name": f"{__name__}:made", "width": 1.0, "hidden": []}
    architecture |= {"channels": 1, "classes": 3}
    network, inputs = build(**architecture).train(), torch.randn(50, 4)
    check_checkpoint_is_whole(network, architecture, inputs)
    network(inputs)
    if kept == "buffer":
        check_checkpoint_is_whole(network, architecture, inputs)
    else:
        with pytest.raises(ValueError, match=r"only these are saved, .* first at its output .* tr"):
            check_checkpoint_is_whole(network, architecture, inputs)
    check_checkpoint_is_whole(network, ARCHITECTURE, inputs)  # the project's own are not built
    assert network.training
