"""The checks of the crash tests can fail: each is shown what it is there to find."""

import pytest

import histories
from histories import Sent, Transaction
from wire import Batch


def said(complaints):
    return sorted({one.split(":")[0] for one in complaints})


def a_history():
    """Two records by themselves, a committed transaction of two that took inputs 0 to 5, an aborted one, and one that nobody heard of."""
    sent = [Sent("w", "t", 0, n, "acked", n) for n in range(2)]
    sent += [Sent("c", "t", 0, 0, "acked", 2, "yes"), Sent("c", "t", 1, 0, "acked", 0, "yes")]
    sent += [Sent("c", "t", 0, 1, "acked", 4, "no"), Sent("c", "t", 1, 1, "unknown", -1, "perhaps")]
    transactions = {"yes": Transaction({0: (0, 5)}, "committed"), "no": Transaction({0: (5, 7)}, "aborted"),
                    "perhaps": Transaction({0: (5, 9)})}
    log = {("t", 0): [(0, "w|0|"), (1, "w|1|"), (2, "c|0|yes")], ("t", 1): [(0, "c|0|yes")]}
    return sent, transactions, log


def everything(sent, transactions, log, offsets):
    yield from histories.lost(sent, log, transactions)
    yield from histories.doubled(log)
    yield from histories.reordered(log)
    yield from histories.unasked(sent, log)
    yield from histories.torn(sent, log, transactions)
    yield from histories.offsets_astray(sent, log, transactions, offsets)


def test_a_good_history_is_good_whichever_way_the_unheard_ended():
    sent, transactions, log = a_history()
    assert list(everything(sent, transactions, log, {0: 5})) == []
    log["t", 1].append((2, "c|1|perhaps"))
    assert list(everything(sent, transactions, log, {0: 9})) == []


@pytest.mark.parametrize("spoil, offset, words", [
    (lambda log: log["t", 0].pop(1), 5, ["lost"]),
    (lambda log: log["t", 0].__setitem__(1, (7, "w|1|")), 5, ["moved"]),
    (lambda log: log["t", 0].append((9, "w|1|")), 5, ["doubled", "moved"]),
    (lambda log: log.update({("t", 0): [(0, "w|1|"), (1, "w|0|"), (2, "c|0|yes")]}), 5, ["moved", "reordered"]),
    (lambda log: log["t", 0].append((4, "c|1|no")), 5, ["aborted", "offset"]),
    (lambda log: log["t", 1].clear(), 5, ["lost", "torn"]),
    (lambda log: log["t", 1].append((3, "c|7|perhaps")), 5, ["unasked"]),
    (lambda log: log["t", 1].append((2, "c|1|perhaps")), 5, ["offset"]),
    (lambda log: None, 4, ["offset"]),
    (lambda log: None, 6, ["offset"]),
])
def test_a_spoilt_log_is_found(spoil, offset, words):
    sent, transactions, log = a_history()
    spoil(log)
    assert said(everything(sent, transactions, log, {0: offset})) == sorted(words)


def test_a_transaction_that_is_there_in_part_is_found_though_its_end_is_not_known():
    sent, transactions, log = a_history()
    sent.append(Sent("c", "t", 0, 2, "unknown", -1, "perhaps"))
    log["t", 1].append((2, "c|1|perhaps"))
    assert said(histories.torn(sent, log, transactions)) == ["torn"]


def test_inputs_taken_twice_or_left_out_are_found():
    sent, transactions, log = a_history()
    transactions["again"] = Transaction({0: (3, 7)}, "committed")
    assert said(histories.offsets_astray(sent, log, transactions, {0: 7})) == ["taken twice"]
    transactions["again"].inputs = {0: (6, 7)}
    assert said(histories.offsets_astray(sent, log, transactions, {0: 7})) == ["left out"]


def test_topics_that_are_gone_or_came_back_are_found():
    made = {"a": 1, "b": 2, "c": 3}
    assert list(histories.topics_astray(made, {"b"}, {"a": 1, "c": 3, "other": 1})) == []
    assert said(histories.topics_astray(made, {"b"}, {"a": 1, "b": 2})) == ["came back", "gone"]
    assert said(histories.topics_astray(made, set(), {"a": 1, "b": 1, "c": 3})) == ["gone"]


def batches():
    plain = Batch(0, 1, 7, 0, 0, False, None, ((0, b"a"), (1, b"b")), 2)
    first = Batch(2, 2, 8, 0, 0, True, None, ((2, b"c"),), 1)
    marker = Batch(3, 3, 8, 0, -1, True, "commit", (), 1)
    second = Batch(4, 4, 8, 0, 1, True, None, ((4, b"d"),), 1)
    after = Batch(5, 5, 7, 0, 2, False, None, ((5, b"e"),), 1)
    return [plain, first, marker, second, after]


def test_what_is_committed_is_told_from_the_markers():
    whole = batches()
    assert histories.committed(whole) == ([(0, b"a"), (1, b"b"), (2, b"c"), (5, b"e")], 4)
    read = [(0, b"a"), (1, b"b"), (2, b"c")]
    assert list(histories.misread(whole, read, 4)) == []
    assert said(histories.misread(whole, read, 5)) == ["misread"]
    assert said(histories.misread(whole, [*read, (4, b"d")], 4)) == ["misread"]
    assert said(histories.misread(whole, read[:2], 4)) == ["misread"]
    aborted = [*whole, Batch(6, 6, 8, 0, -1, True, "abort", (), 1)]
    assert histories.committed(aborted) == ([(0, b"a"), (1, b"b"), (2, b"c"), (5, b"e")], 7)


def test_holes_and_sequences_are_found():
    whole = batches()
    assert list(histories.holes(whole)) == [] == list(histories.out_of_sequence(whole))
    assert said(histories.holes([whole[0], *whole[2:]])) == ["hole"]
    assert said(histories.holes([Batch(0, 2, 7, 0, 0, False, None, whole[0].values, 3)])) == ["hole"]
    assert said(histories.out_of_sequence([whole[0], Batch(2, 2, 7, 0, 1, False, None, ((2, b"b"),), 1)])) == ["sequence"]
