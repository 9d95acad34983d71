"""The number of threads follows what steps take."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from embedseg_napari.core.training import threads
from embedseg_napari.core.training.threads import ThreadTuner


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    # Those of other tests may still be at work.
    monkeypatch.setattr(threads, "_TUNERS", threads._Tuners())
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Steps that take as long as said for each number of threads, in a time of their own."""

    def __init__(self, seconds, is_on=True):
        self.seconds, self.now, self.used = seconds, 0.0, []
        self.is_busy = False
        self.tuner = ThreadTuner(is_on, lambda: self.is_busy, clock=lambda: self.now)

    def work(self, until):
        while self.now < until:
            self.tuner.before_step()
            n = torch.get_num_threads()
            self.used.append(n)
            self.now += self.seconds[n]
            self.tuner.after_step(self.seconds[n])

    def share(self, n, last):
        return sum(used == n for used in self.used[-last:]) / last


def test_a_quiet_machine_keeps_all_threads_and_loses_little_to_trials():
    machine = Machine({4: 0.1, 2: 0.15, 1: 0.25})
    machine.work(300)
    assert set(machine.used) == {4, 2}
    assert machine.share(4, len(machine.used)) > 0.98


def test_fewer_threads_are_taken_where_they_are_quicker_and_given_up_when_they_are_not():
    machine = Machine({4: 0.4, 2: 0.3, 1: 0.1})
    machine.work(60)
    assert machine.tuner.n == 1
    assert machine.share(1, 300) > 0.95
    machine.seconds.update({4: 0.05, 2: 0.07})
    machine.work(240)
    assert machine.tuner.n == 4


def test_steps_that_become_slow_are_reacted_to_at_once():
    machine = Machine({4: 0.1, 2: 0.15, 1: 0.25})
    machine.work(300)
    machine.seconds.update({4: 0.5})
    machine.work(310)
    assert machine.tuner.n == 2


def test_the_number_is_restored_and_left_alone_where_it_matters():
    machine = Machine({4: 0.4, 2: 0.1, 1: 0.3})
    machine.work(30)
    assert torch.get_num_threads() == 2
    machine.tuner.restore()
    assert torch.get_num_threads() == 4
    machine = Machine({4: 0.4, 2: 0.1, 1: 0.3}, is_on=False)
    machine.work(60)
    assert set(machine.used) == {4}


def test_a_core_is_left_to_what_the_program_does_beside_the_training():
    machine = Machine({4: 0.1, 3: 0.12, 2: 0.15, 1: 0.25})
    machine.is_busy = True
    machine.work(20)
    assert set(machine.used) == {3}
    machine.is_busy = False
    machine.used.clear()
    machine.work(40)
    assert machine.share(4, len(machine.used)) > 0.9


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_a_training_that_begins_beside_another_has_the_threads_of_the_process(first_ends_first):
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(Machine, {4: 0.4, 2: 0.1, 1: 0.3}).result()
        one.submit(first.work, 30).result()
        assert one.submit(torch.get_num_threads).result() == 2
        second = other.submit(Machine, {4: 0.1, 2: 0.4, 1: 0.5}).result()
        other.submit(second.work, 1).result()
        assert set(second.used) == {4}
        assert one.submit(torch.get_num_threads).result() == 2
        ends = [(one, first), (other, second)]
        for executor, machine in ends if first_ends_first else ends[::-1]:
            executor.submit(machine.tuner.restore).result()
        seen = [executor.submit(torch.get_num_threads).result() for executor in (one, other)]
    # Nothing is left behind, for these threads or for others.
    assert seen == [4, 4]
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 4


def test_a_training_by_epochs_beside_another_computes_as_if_alone():
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(Machine, {4: 0.4, 2: 0.1, 1: 0.3}).result()
        one.submit(first.work, 30).result()
        second = other.submit(Machine, {4: 0.1, 2: 0.4, 1: 0.5}, False).result()
        other.submit(second.work, 1).result()
        assert set(second.used) == {4}
        one.submit(first.tuner.restore).result()
