"""What a person types selects objects, or is said to select nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import CT_INSTANCE, CT_STUDY

from leadglass.cli import selection
from leadglass.cli.place import opened
from leadglass.errors import NotFound, UsageError


def test_by_every_name(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "PAGE", 1)
    with opened(str(site)) as hub:
        (record,) = selection.study_records(hub, CT_STUDY)
        for name in (CT_STUDY, record.series_instance_uid, CT_INSTANCE, record.object_id.hex()):
            assert [found.object_id for found in selection.named_records(hub, name)] == [record.object_id]
        assert len(list(selection.every_study(hub))) == 2
        with pytest.raises(NotFound):
            selection.study_records(hub, CT_INSTANCE)
        with pytest.raises(UsageError):
            selection.named_records(hub, "*")
