"""What is sent is real, whole and distinct; what is hostile is harmless."""

from __future__ import annotations

from io import BytesIO

from pydicom.filereader import dcmread

from leadglass.cli.morning.objects import CT_SERIES_LENGTH, REAL, climbing, polyglot, real_objects


def test_every_object_is_distinct_and_carries_its_own_uid() -> None:
    samples = real_objects()
    assert len(samples) == CT_SERIES_LENGTH + len(REAL)
    assert len({sample.sop_instance_uid for sample in samples}) == len(samples)
    assert all(len(sample.sop_instance_uid) <= 64 for sample in samples)
    for sample in samples[:3]:
        assert sample.dataset.count(sample.sop_instance_uid.encode()) == 1


def test_the_polyglot_is_an_image_and_begins_like_a_program() -> None:
    file = polyglot()
    assert file[:2] == b"MZ"
    assert not any(file[2:60])
    assert dcmread(BytesIO(file)).pixel_array.shape == (64, 64)


def test_the_climbing_name_is_only_a_name() -> None:
    sample = real_objects()[0]
    assert climbing(sample).dataset == sample.dataset
    assert ".." in climbing(sample).sop_instance_uid
