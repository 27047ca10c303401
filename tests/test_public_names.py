"""The names that users build on: a change here is a change for them, and belongs in the CHANGELOG."""

import turnout


def test_public_names() -> None:
    assert sorted(turnout.__all__) == [
        "Battles",
        "Calibration",
        "Decision",
        "Encoder",
        "ModelPair",
        "OperatingPoint",
        "Outcomes",
        "Policy",
        "Route",
        "Router",
        "TurnoutError",
        "__version__",
        "calibrate",
        "predict_for_pair",
    ]
    assert all(hasattr(turnout, name) for name in turnout.__all__)
