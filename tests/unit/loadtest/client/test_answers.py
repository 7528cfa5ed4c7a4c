"""What an answer leaves in its record."""

import numpy as np

from loadtest.client.answers import UNREADABLE, note
from loadtest.records import DTYPE, ENDINGS
from podium.v1 import ranking_pb2 as pb


def test_an_answer_is_noted() -> None:
    """Coverage, step, the server's own times and the first ten of the order."""
    rows = np.zeros(2, DTYPE)
    rows["top"] = -1
    for row, candidates in zip(rows, (12, 3), strict=True):
        said = note(
            row,
            pb.RankResponse(
                step=pb.STEP_FEWER_CANDIDATES,
                order=range(candidates),
                coverage=pb.Coverage(candidates=candidates, scored=2),
                timings=pb.Timings(
                    decode_us=1, queue_us=2, form_us=3, run_us=4, split_us=5, total_us=70, batch_requests=6
                ),
            ).SerializeToString(),
        )
        assert said == ""

    assert [ENDINGS.index("answered")] * 2 == rows["ending"].tolist()
    assert [[*range(10)], [0, 1, 2, *[-1] * 7]] == rows["top"].tolist()
    names = ["candidates", "scored", "step", "server_us", "batch_requests"]
    assert [(12, 2, 2, 70, 6), (3, 2, 2, 70, 6)] == rows[names].tolist()
    stages = ["decode_us", "queue_us", "form_us", "run_us", "split_us"]
    assert [(1, 2, 3, 4, 5)] * 2 == rows[stages].tolist()


def test_what_cannot_be_read_is_the_server_s_failure() -> None:
    """With a reason of ours."""
    rows = np.zeros(1, DTYPE)
    assert UNREADABLE == note(rows[0], b"\xff")
    assert "failed" == ENDINGS[rows["ending"][0]]
