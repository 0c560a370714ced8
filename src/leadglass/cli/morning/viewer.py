"""The viewer: it finds a study over QIDO-RS, fetches it over WADO-RS, and has one image rendered."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from leadglass.dicom.part10 import SOP_INSTANCE, HeadReader
from leadglass.errors import RemoteError

_BASE = "/dicom-web"
_STUDY, _SERIES = "0020000D", "0020000E"
_JSON = "application/dicom+json"
_WHOLE = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True, slots=True)
class Viewer:
    """A DICOMweb client with a token."""

    port: int
    authority: Path
    token: str

    def find_study(self, patient_id: str) -> list[str]:
        """Search for the studies of a patient; gives their Study Instance UIDs."""
        body, _ = self._get(f"/studies?PatientID={patient_id}", _JSON)
        return [str(match[_STUDY]["Value"][0]) for match in json.loads(body)]

    def fetch(self, study_instance_uid: str) -> dict[str, str]:
        """Fetch a study as it is stored; gives the SHA-256 of each data set by SOP Instance UID."""
        body, kind = self._get(f"/studies/{study_instance_uid}", _WHOLE)
        boundary = re.search(r'boundary="?([^";]+)', kind)
        if boundary is None:
            raise RemoteError("DICOMweb answered with something that is not multipart.")
        digests = {}
        for part in body.split(b"--" + boundary[1].encode())[1:-1]:
            file = part.partition(b"\r\n\r\n")[2][:-2]
            reader = HeadReader()
            meta, rest = reader.feed(file) or reader.finish()
            uid = meta.values[SOP_INSTANCE].rstrip(b"\0 ").decode("ascii")
            digests[uid] = sha256(rest).hexdigest()
        return digests

    def picture(self, study_instance_uid: str) -> int:
        """Have the study's picture rendered; gives the length of the JPEG."""
        return self._jpeg(f"/studies/{study_instance_uid}/thumbnail")

    def frame(self, study_instance_uid: str, sop_instance_uid: str, number: int) -> int:
        """Have one frame of an object rendered; gives the length of the JPEG."""
        matches, _ = self._get(f"/studies/{study_instance_uid}/instances?SOPInstanceUID={sop_instance_uid}", _JSON)
        series = [str(match[_SERIES]["Value"][0]) for match in json.loads(matches)]
        if len(series) != 1:
            raise RemoteError(f"DICOMweb finds {len(series)} objects of one SOP Instance UID.")
        place = f"/studies/{study_instance_uid}/series/{series[0]}/instances/{sop_instance_uid}"
        return self._jpeg(f"{place}/frames/{number}/rendered")

    def _jpeg(self, path: str) -> int:
        body, kind = self._get(path, "image/jpeg")
        if not kind.startswith("image/jpeg") or body[:2] != b"\xff\xd8":
            raise RemoteError("DICOMweb rendered something that is no picture.")
        return len(body)

    def _get(self, path: str, accept: str) -> tuple[bytes, str]:
        context = ssl.create_default_context(cafile=self.authority)
        connection = HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            headers = {"Accept": accept, "Authorization": f"Bearer {self.token}"}
            connection.request("GET", _BASE + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise RemoteError(f"DICOMweb does not answer ({error}).") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise RemoteError(f"DICOMweb answered {answer.status} to {path.partition('?')[0]}.")
        return body, answer.getheader("Content-Type", "")
