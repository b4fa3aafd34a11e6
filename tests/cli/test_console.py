"""The progress line of long commands."""

from mcuformer.cli.console import ProgressLine, cpu_line, line


def test_progress_draws_a_bar_and_the_time_left():
    assert line("exporting", 0, 0, 0, 9.0) == "exporting"
    half = line("training (loss 0.3)", 600, 1200, 300, 60.0)  # 300 steps in a minute, 600 to go
    assert half == "training (loss 0.3)  [##########          ] 600/1,200, 2 min left"
    assert line("training", 300, 1200, 300, 60.0).endswith("300/1,200")  # nothing to judge by yet
    assert line("training", 1200, 1200, 0, 60.0).endswith("[####################] 1,200/1,200")


def test_every_stage_has_its_cpu_seconds():
    with ProgressLine() as progress:
        for stage in ("reading", "training (loss 0.3)", "training (loss 0.2)", "reading"):
            progress(stage)
    assert list(progress.seconds) == ["reading", "training"]
    assert min(progress.seconds.values()) >= 0.0


def test_the_line_of_cpu_seconds_adds_up():
    text = cpu_line({"quantising": 5.25, "checking": 3.5})
    assert text == "took     8.8 s of CPU: quantising 5.2, checking 3.5"
