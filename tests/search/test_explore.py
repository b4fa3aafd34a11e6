"""The search: only legal networks become trials, resume, workers that die, hopeless limits."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")

import itertools

from util_long import few

from mcuformer.errors import DoesNotFitError
from mcuformer.search.explore import (
    Judge,
    check_possible,
    explore,
    pareto,
    random_search,
    smallest,
    winner,
)
from mcuformer.search.figures import Limits, NetworkCost, Planner
from mcuformer.search.space import load_space
from mcuformer.targets.board_file import load_board

SPACE = load_space("tiny").with_choices(
    depth=(1, 2),
    relative=(False,),
    pool=("mean",),
    patch=(8, 6),
    heads=(1, 2),
    head_dim=(8,),
    dim=(16, 24, 32, 48, 64),
    rank_qkv=(1.0,),
    rank_proj=(1.0,),
    ratio=(1.0, 2.0),
)
PLANNER_MEMO = {}  # one for all tests: regions of equal shape are planned once


def judge(ram=8 * 1024, space=SPACE):
    board = load_board("stm32f746")
    return Judge(space, Planner(board, Limits(ram=ram), memo=PLANNER_MEMO))


def worth(arch):
    """A landscape of its own: wide, shallow, dense networks with middle patches are best."""
    return 60 + arch.dim / 4 - 3 * arch.depth - abs(arch.patch - 4) + 3 * arch.rank_fc1


def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'trials.db'}"


def test_only_legal_networks_are_tried_and_none_twice(tmp_path):
    limit = 5 * 1024
    found = explore(judge(limit), worth, storage(tmp_path), 24, seed=1, population=8)
    assert len(found) == 24
    assert all(c.cost.sram_total_bytes <= limit for c in found)
    assert len({c.arch for c in found}) == 24
    assert winner(found).accuracy == max(c.accuracy for c in found)
    front = pareto(found)
    assert all(a.accuracy < b.accuracy for a, b in itertools.pairwise(front))


@pytest.mark.parametrize("last", few([1, 7, 9, 13, 19]))  # 7, 13 and 19 begin a generation
def test_a_stopped_search_goes_on_as_if_it_had_not(tmp_path, last):
    whole = explore(judge(), worth, storage(tmp_path), 20, seed=3, population=6)

    class Stop(Exception):
        pass

    calls = 0

    def dies(arch):
        nonlocal calls
        calls += 1
        if calls == last:
            raise Stop
        return worth(arch)

    (tmp_path / "b").mkdir()
    with pytest.raises(Stop):
        explore(judge(), dies, storage(tmp_path / "b"), 20, seed=3, population=6)
    resumed = explore(judge(), worth, storage(tmp_path / "b"), 20, seed=3, population=6)
    assert resumed == whole  # numbers too, whatever trials a stop left behind
    assert winner(resumed).arch == winner(whole).arch


def test_workers_that_draw_the_same_at_once_try_two_networks(tmp_path):
    from mcuformer.search.explore import open_study
    from mcuformer.search.sampler import GENES, LegalSampler, suggested

    own = judge()
    study = open_study(own, storage(tmp_path), 5, 6, False, ("accuracy",), "search")
    other = study.ask()  # of a worker that has drawn nothing yet

    class Raced(LegalSampler):
        """The other worker draws the same between this one's look at the claims and its own claim."""

        lost: tuple[int, ...] = ()

        def _claim(self, study, trial, genes):
            if not self.lost:
                self.lost = self.space.canonical(genes)
                study._storage.set_trial_system_attr(other._trial_id, GENES, list(self.lost))
            super()._claim(study, trial, genes)

    study.sampler = sampler = Raced(own.space, own.legal, 5, 6, alone=False)
    mine = study.ask()
    genes = suggested(own.space, mine)
    claims = [tuple(t.system_attrs[GENES]) for t in study.get_trials()]
    assert sampler.lost == claims[other.number] != claims[mine.number]
    assert own.space.canonical(genes) == claims[mine.number] and own.legal(genes)


@pytest.mark.long
def test_later_generations_are_better_than_chance(tmp_path):
    shared = judge()
    found = explore(shared, worth, storage(tmp_path), 40, seed=0, population=8)
    chance = random_search(shared, worth, 40, seed=0)
    assert len(chance) == 40
    late = [c.accuracy for c in found[20:]]
    assert sum(late) / 20 > sum(c.accuracy for c in chance) / 40 + 1


@pytest.mark.long
def test_a_pareto_search_keeps_both_objectives(tmp_path):
    found = explore(
        judge(), worth, storage(tmp_path), 16, population=6, objectives=("accuracy", "sram")
    )
    assert len(found) == 16


def test_a_hopeless_limit_names_the_smallest_that_is_possible():
    with pytest.raises(DoesNotFitError, match="the smallest network needs"):
        check_possible(judge(2100))
    check_possible(judge(64 * 1024))


def test_the_smallest_figures_are_those_of_the_whole_space():
    """Against every network of a small space, for each limit."""
    space = load_space("tiny").with_choices(
        patch=(8, 6),
        dim=(16, 24),
        depth=(1, 2),
        heads=(1, 2),
        head_dim=(8,),
        ratio=(1.0, 2.0),
        rank_qkv=(0.5, 1.0),
        rank_proj=(0.5, 1.0),
        rank_fc1=(0.25, 1.0),
        rank_fc2=(1.0,),
        relative=(False,),
        pool=("mean",),
    )
    own = Judge(space, Planner(load_board("stm32f746"), Limits(), memo=PLANNER_MEMO))
    every = {space.canonical(g) for g in itertools.product(*(range(n) for n in space.sizes))}
    figures = [own.planner.least(space.decode(g)) for g in every]
    for where in ("ram", "flash", "instructions"):
        assert smallest(own, where, space.corners())[0] == min(f[where] for f in figures)


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({"ram": 1024}, "ram"),
        ({"flash": 40 << 10}, "flash"),
        ({"max_instructions": 999}, "instructions"),
    ],
)
def test_every_hopeless_limit_is_named_with_its_smallest_figure(limits, where):
    space = load_space("tiny")
    own = Judge(space, Planner(load_board("stm32f746"), Limits(**limits), memo=PLANNER_MEMO))
    needs, genes = smallest(own, where, space.corners())
    with pytest.raises(DoesNotFitError, match=f"{where}: the smallest network needs {needs:,}"):
        check_possible(own)
    assert Planner(own.planner.board, Limits()).least(space.decode(genes))[where] == needs


WORKER = """
    import sys, time
    from mcuformer.search.explore import explore
    sys.path[:0] = {folders!r}
    from test_explore import judge, worth

    def slow(arch):
        time.sleep(0.2)
        return worth(arch)

    explore(judge(), slow, sys.argv[1], 18, seed=5, population=6, alone=False)
"""


@pytest.fixture
def postgresql(tmp_path_factory):
    """A server of its own on a socket in its folder: no number of a port that another may have taken.
    initdb refuses root, so it runs as user postgres."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not homes:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = Path("/tmp") / f"mcuformer-pg-{os.getpid()}"
    folder.mkdir(mode=0o777)
    as_root = os.getuid() == 0
    if as_root:
        shutil.chown(folder, "postgres")

    def run(*command):
        line = [str(homes[-1] / command[0]), *command[1:]]
        if as_root:
            line = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *line]
        subprocess.run(line, check=True, capture_output=True, cwd=folder)

    run("initdb", "-D", str(folder / "data"), "-U", "search", "-A", "trust")
    run(
        "pg_ctl",
        "-D",
        str(folder / "data"),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -c listen_addresses=''",
        "start",
    )
    try:
        yield f"postgresql+psycopg://search@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.long
def test_three_workers_on_postgresql_one_killed(tmp_path, postgresql):
    import optuna
    from optuna.trial import TrialState

    script = tmp_path / "worker.py"
    here = Path(__file__).parent
    script.write_text(textwrap.dedent(WORKER.format(folders=[str(here), str(here.parent)])))
    explore(judge(), worth, postgresql, 1, seed=5, population=6, alone=False)  # makes the tables
    workers = [subprocess.Popen([sys.executable, str(script), postgresql]) for _ in range(3)]
    study = optuna.load_study(study_name="search", storage=postgresql)
    deadline = time.time() + 240
    while time.time() < deadline:
        if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) >= 6:
            break
        time.sleep(0.2)
    workers[0].send_signal(signal.SIGKILL)
    assert [w.wait(timeout=300) for w in workers[1:]] == [0, 0]
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    assert 18 <= len(done) <= 20  # workers that were at it when the last one finished
    lost = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.COMPLETE]
    assert len(lost) <= 1
    assert len({str(t.user_attrs["arch"]) for t in done}) == len(done)
    assert all(isinstance(NetworkCost(**t.user_attrs["cost"]), NetworkCost) for t in done)
