"""Leases of this machine, against real processes."""

import os
import subprocess
import sys

from autokestra.executions.lease import LEASE_MICROSECONDS, boottime, is_dead, own_lease, this_process
from autokestra.executions.records import Lease


def owner_of(pid):
    return this_process.__wrapped__(pid)


def far():
    return boottime() + 10**9


def test_our_own_lease_is_alive_for_its_time():
    lease = own_lease()
    assert not is_dead(lease)
    assert 0 < lease.until - boottime() <= LEASE_MICROSECONDS


def test_a_lease_that_has_run_out_is_dead():
    assert is_dead(Lease(owner=own_lease().owner, until=boottime() - 1))


def test_the_lease_of_a_process_that_is_gone_is_dead_before_its_time():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    lease = Lease(owner=owner_of(process.pid), until=far())
    assert not is_dead(lease)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie does no work either
    assert is_dead(lease)
    process.wait()
    assert is_dead(lease)


def test_a_pid_that_was_used_again_is_not_the_old_owner():
    host, boot, pid, _ = own_lease().owner.rsplit("/", 3)
    assert is_dead(Lease(owner=f"{host}/{boot}/{pid}/1", until=far()))


def test_a_reboot_ends_every_lease():
    host, _, pid, start = own_lease().owner.rsplit("/", 3)
    assert is_dead(Lease(owner=f"{host}/another-boot/{pid}/{start}", until=far()))


def test_another_machine_is_believed_until_its_time_is_over():
    _, boot, pid, start = own_lease().owner.rsplit("/", 3)
    assert not is_dead(Lease(owner=f"elsewhere/{boot}/{pid}/{start}", until=far()))


def test_a_process_whose_start_is_unknown_is_judged_by_its_pid():
    host, boot, *_ = own_lease().owner.rsplit("/", 3)
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert is_dead(Lease(owner=f"{host}/{boot}/{gone.pid}/-", until=far()))
    assert not is_dead(Lease(owner=f"{host}/{boot}/{os.getpid()}/-", until=far()))
