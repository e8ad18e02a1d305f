"""That the chaos run's checker catches what it is there for, on made-up histories, and that a seed
means one schedule."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checker  # noqa: E402
import schedule  # noqa: E402

SECOND = 10**9
SERVERS = 2


class Made:
    """A history, line by line, as clients write it."""

    def __init__(self):
        self.lines, self.time, self.count = [], 0, 0

    def begin(self, op, keys, client="a", phase="load", timeout_ms=10_000, **what):
        self.count += 1
        name = f"{client}.{self.count}"
        self.lines.append(json.dumps({
            "e": "begin", "id": name, "op": op, "keys": keys, "phase": phase, "t": self.time,
            "timeout_ms": timeout_ms, "prompt": [0, 0, 0], "first": 0, **what}))
        return name

    def end(self, name, status="OK", took_s=0.1, **outcome):
        self.time += int(took_s * SECOND)
        self.lines.append(json.dumps({"e": "end", "id": name, "t": self.time, "status": status,
                                      **outcome}))

    def do(self, op, keys, status="OK", took_s=0.1, client="a", phase="load", timeout_ms=10_000,
           server=None, **outcome):
        what = {} if server is None else {"server": server}
        self.end(self.begin(op, keys, client, phase, timeout_ms, **what), status, took_s, **outcome)

    def verify(self, keys, letters, servers=range(SERVERS)):
        for server in servers:
            self.do("stream", keys, phase="final", server=server, blocks=letters)

    def operations(self):
        return checker.load(self.lines)

    def violated(self, killed=()):
        return {what for what, found in
                checker.check(self.operations(), SERVERS, killed).items() if found}


def good():
    made = Made()
    made.do("prompt", ["x", "y"])
    made.do("lookup", ["x", "y"], found=2)
    made.do("stream", ["x", "y"], blocks="oo")
    return made


class CheckerTest(unittest.TestCase):
    def test_a_good_history_is_passed(self):
        made = good()
        made.verify(["x", "y"], "oo")
        self.assertEqual(made.violated(), set())

    def test_a_wrong_byte_in_any_read(self):
        for op, phase in (("stream", "load"), ("read", "probe"), ("stream", "final")):
            made = good()
            made.verify(["x", "y"], "oo")
            made.do(op, ["x", "y"], phase=phase, server=0, blocks="ow")
            self.assertEqual(made.violated(), {"wrong bytes"}, (op, phase))

    def test_a_wrong_byte_in_a_read_that_failed_elsewhere(self):
        made = good()
        made.verify(["x", "y"], "oo")
        made.do("stream", ["x", "y"], status="UNAVAILABLE", blocks="wf")
        self.assertEqual(made.violated(), {"wrong bytes"})

    def test_an_acknowledged_write_that_one_server_has_lost(self):
        for letters in ("om", "of", "o"):
            made = good()
            made.verify(["x", "y"], "oo", servers=[0])
            made.verify(["x", "y"], letters, servers=[1])
            self.assertEqual(made.violated(), {"acknowledged writes lost"}, letters)

    def test_a_single_write_counts_as_acknowledged(self):
        made = good()
        made.do("single", ["z"])
        made.verify(["x", "y"], "oo")
        self.assertEqual(made.violated(), {"acknowledged writes lost"})

    def test_a_write_that_failed_or_never_ended_may_be_lost(self):
        made = good()
        made.do("prompt", ["z"], status="UNAVAILABLE")
        made.begin("single", ["v"], client="killed")
        made.verify(["x", "y"], "oo")
        self.assertEqual(made.violated(killed={"killed"}), set())

    def test_what_a_killed_client_was_told_is_not_forgiven(self):
        made = good()
        made.do("prompt", ["z"], client="killed")
        made.lines.append('{"e":"begin","id":"killed.9","o')  # where it was killed
        made.verify(["x", "y"], "oo")
        self.assertEqual(made.violated(killed={"killed"}), {"acknowledged writes lost"})

    def test_what_was_read_before_the_end_proves_nothing(self):
        made = good()
        made.verify(["x"], "o")
        self.assertEqual(made.violated(), {"acknowledged writes lost"})

    def test_no_verification_at_all(self):
        self.assertIn("servers not verified", good().violated())

    def test_what_must_be_verified_covers_what_was_acknowledged(self):
        made = Made()
        made.do("prompt", ["x", "y"])
        name = made.begin("prompt", ["z"], prompt=[0, 0, 0])
        made.lines[-1] = made.lines[-1].replace('"first": 0', '"first": 2')
        made.end(name)
        made.do("prompt", ["u"] * 9, status="UNAVAILABLE")
        self.assertEqual(checker.prompts_to_verify(made.operations()), {(0, 0, 0): 3})

    def hit_and_fail(self, made, times, client="a", letter="m"):
        for _ in range(times):
            made.do("lookup", ["x", "y"], client=client, found=2)
            made.do("read", ["x"], client=client, blocks=letter)

    def test_a_block_that_is_found_and_not_there_again_and_again(self):
        made = good()
        made.verify(["x", "y"], "oo")
        self.hit_and_fail(made, checker.MOST_MISSES_IN_A_ROW)
        self.assertEqual(made.violated(), set())
        self.hit_and_fail(made, 1)
        self.assertEqual(made.violated(), {"hit/fail loops"})

    def test_no_loop_where_it_was_read_or_honestly_missed_in_between(self):
        for between in (lambda made: made.do("read", ["x"], blocks="o"),
                        lambda made: made.do("lookup", ["x", "y"], found=0)):
            made = good()
            made.verify(["x", "y"], "oo")
            for _ in range(3):
                self.hit_and_fail(made, checker.MOST_MISSES_IN_A_ROW)
                between(made)
            self.assertEqual(made.violated(), set())

    def test_a_lookup_of_its_parent_alone_does_not_excuse_a_loop(self):
        made = good()
        made.verify(["x", "y"], "oo")
        for _ in range(checker.MOST_MISSES_IN_A_ROW + 1):
            self.hit_and_fail(made, 1)
            made.do("lookup", ["x", "y"], found=1)
        self.assertEqual(made.violated(), {"hit/fail loops"})

    def test_an_operation_that_took_too_long(self):
        made = good()
        made.verify(["x", "y"], "oo")
        made.do("lookup", ["x"], took_s=10 + checker.SLACK_S, found=1)
        self.assertEqual(made.violated(), set())
        made.do("lookup", ["x"], took_s=10.1 + checker.SLACK_S, found=1)
        self.assertEqual(made.violated(), {"operations that hung"})

    def test_an_operation_that_never_ended(self):
        made = good()
        made.verify(["x", "y"], "oo")
        made.begin("lookup", ["x"], client="b")
        self.assertEqual(made.violated(), {"operations that hung"})
        self.assertEqual(made.violated(killed={"b"}), set())

    def test_recovery_is_the_slowest_servers_first_success_behind_the_end(self):
        made = Made()
        for server in range(SERVERS):
            made.do("lookup", ["x"], phase="probe", server=server, found=1)
        ended = made.time
        made.do("lookup", ["x"], status="UNAVAILABLE", phase="probe", server=0, found=0)
        made.do("lookup", ["x"], phase="probe", server=0, found=0)
        made.do("lookup", ["x"], phase="probe", server=0, found=1, took_s=1)
        made.do("read", ["x"], phase="probe", server=0, blocks="o")
        made.do("lookup", ["x"], phase="probe", server=1, found=1)
        found = checker.recovery(made.operations(), ended, [0])
        self.assertAlmostEqual(found["lookup"], 1.2)
        self.assertAlmostEqual(found["read"], 1.3)
        self.assertIsNone(found["write"])
        found = checker.recovery(made.operations(), ended, [0, 1])
        self.assertAlmostEqual(found["lookup"], 1.4)
        self.assertIsNone(found["read"])

    def test_what_is_shared_is_what_another_server_was_given_behind_the_fault(self):
        made = Made()
        made.do("prompt", ["x"], phase="probe", server=1)
        ended = made.time
        made.do("lookup", ["x"], phase="probe", server=0, found=1)  # known before
        made.do("prompt", ["y"], phase="probe", server=1)
        made.do("prompt", ["z"], phase="probe", server=0)
        made.do("lookup", ["z"], phase="probe", server=0, found=1)  # its own
        made.do("lookup", ["y"], phase="probe", server=0, found=0)
        self.assertIsNone(checker.recovery(made.operations(), ended, [0])["shared"])
        made.do("lookup", ["y"], phase="probe", server=0, found=1)
        self.assertAlmostEqual(checker.recovery(made.operations(), ended, [0])["shared"], 0.6)

    def test_availability_counts_what_ran_in_the_time_and_could_have_succeeded(self):
        made = Made()
        made.do("lookup", ["x"], found=0)
        begin = made.time + 1
        made.time += SECOND
        made.do("lookup", ["x"], found=1)
        made.do("lookup", ["x"], status="UNAVAILABLE", found=0)
        made.do("read", ["x"], blocks="m")
        made.do("read", ["x"], status="DEADLINE_EXCEEDED", timeout_ms=20, blocks="f")
        self.assertEqual(checker.availability(made.operations(), begin),
                         {"lookup": (1, 2), "read": (0, 1), "write": (0, 0)})


class ScheduleTest(unittest.TestCase):
    def make(self, seed, minutes=30):
        return schedule.make(seed, minutes * 60, servers=3, disks=(1, 2), clients=3)

    def test_a_seed_means_one_schedule(self):
        self.assertEqual(self.make(7), self.make(7))
        self.assertNotEqual(self.make(7), self.make(8))

    def test_a_shorter_run_is_the_beginning_of_a_longer_one(self):
        short = self.make(7, minutes=5)
        self.assertEqual(short, self.make(7)[:len(short)])

    def test_thirty_minutes_have_every_kind_and_end_in_time(self):
        for seed in range(20):
            faults = self.make(seed)
            self.assertEqual({fault.kind for fault in faults}, set(schedule.KINDS))
            self.assertGreater(len(faults), 40)
            self.assertLessEqual(max(fault.at + fault.duration for fault in faults),
                                 30 * 60 - schedule.QUIET_S)

    def test_full_disks_befall_servers_with_disks(self):
        for seed in range(20):
            self.assertLessEqual({fault.victim for fault in self.make(seed)
                                  if fault.kind == "full_disk"}, {1, 2})

    def test_no_more_than_two_at_a_time_and_never_two_at_one_victim(self):
        overlaps = 0
        for seed in range(20):
            faults = self.make(seed)
            for i, one in enumerate(faults):
                beside = [other for other in faults[i + 1:] if other.at <= one.at + one.duration]
                overlaps += len(beside)
                self.assertLessEqual(len(beside), 1)
                for other in beside:
                    same_kind = "client" if schedule.KINDS[one.kind] == "client" else "server"
                    its = "client" if schedule.KINDS[other.kind] == "client" else "server"
                    azurite = "azurite" in (schedule.KINDS[one.kind], schedule.KINDS[other.kind])
                    self.assertFalse(same_kind == its and not azurite
                                     and one.victim == other.victim, (one, other))
        self.assertGreater(overlaps, 0)


if __name__ == "__main__":
    unittest.main()
