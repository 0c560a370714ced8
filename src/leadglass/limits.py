"""Every bound in the house, with its reason and its precedent.

Never allocate what a peer claims; never loop as long as a peer likes. A limit that a site may change
is a field of `config.py` whose default is the constant here.
"""

from __future__ import annotations

# --- wire (PS3.8) -------------------------------------------------------------------------------------

PDU_LENGTH_MAX = 262_144
"""P-DATA-TF length we announce. Large PDUs cost less per byte; DCMTK sends at most 131072, Orthanc 16384."""

PDU_CONTROL_LENGTH_MAX = 1 << 20
"""Any PDU other than P-DATA-TF. 128 contexts with every known transfer syntax need about 200 KB."""

PRESENTATION_CONTEXTS_MAX = 128
"""PS3.8 §9.3.2.2: odd context ids 1..255."""

TRANSFER_SYNTAXES_PER_CONTEXT_MAX = 128
"""PS3.6 registers about 60."""

USER_ITEMS_MAX = 1024
"""User information sub-items in one A-ASSOCIATE; one role selection per storage SOP class is about 400."""

PEER_PDU_LENGTH_MIN = 1_024
"""Maximum length a peer may announce (0 is unlimited). Below it headers cost more than data; DCMTK's floor is 4096."""

PDV_SLIM_BYTES = 64
"""A fragment that is not the last of its message and is shorter than this costs more than it carries."""

PDV_SLIM_RUN_MAX = 1_024
"""Slim fragments and empty PDUs in a row; no sender does this, and each costs an event."""

COMMAND_LENGTH_MAX = 65_536
"""One DIMSE command set (PS3.7). The longest standard one is under 1 KB; attribute lists may grow it."""

IDENTIFIER_LENGTH_MAX = 1 << 20
"""One query, action or event data set held in memory (C-FIND, C-MOVE, N-ACTION: 10,000 references fit)."""

ASSOCIATIONS_MAX = 64
"""Worker threads of the listener; further connections wait for a short time and are then refused."""

ASSOCIATIONS_PER_NODE_MAX = 32
"""One node never takes the whole pool."""

ASSOCIATIONS_PER_ADDRESS_MAX = 48
"""One address never takes the whole pool, whoever it says it is."""

ARTIM_SECONDS = 10.0
"""PS3.8 §9.1.5: from the connection to the whole A-ASSOCIATE-RQ, TLS handshake included."""

IDLE_SECONDS = 60.0
"""No byte and no outstanding work on an established association."""

RATE_BYTES_PER_SECOND_MIN = 1_024
"""Below this, measured over `RATE_WINDOW_SECONDS` inside a message, a sender is a slow-loris."""

RATE_WINDOW_SECONDS = 20.0
"""Window of the minimum rate: a Wi-Fi ultrasound that stalls a few seconds survives."""

OPERATIONS_WINDOW_MAX = 16
"""Asynchronous operations window we agree to (PS3.7 D.3.3.3)."""

# --- data sets (PS3.5) --------------------------------------------------------------------------------

DATASET_DEPTH_MAX = 64
"""Nested sequences. Deepest real object seen: 9 (radiotherapy, structured reports); peers crash at 20,000."""

DATASET_ELEMENTS_MAX = 1_000_000
"""Elements and items in all. Enhanced multi-frame with 10,000 frames has about 600,000."""

ELEMENT_VALUE_KEPT_MAX = 65_536
"""A value longer than this is passed through in fragments and never held."""

DATASET_UNBULK_BYTES_MAX = 256 << 20
"""Bytes of a data set outside bulk values."""

INFLATED_BYTES_MAX = 1 << 30
"""A deflated data set, inflated (RFC 1951 reaches 1032 : 1)."""

INFLATE_RATIO_MAX = 200
"""Inflated : deflated beyond the first MiB. Real deflated objects here: below 20."""

PIXEL_FRAGMENTS_MAX = 1_000_000
"""Fragments of encapsulated pixel data in one object."""

OBJECT_BYTES_MAX = 8 << 30
"""One SOP instance. Whole-slide and long cine objects reach 4 GiB."""

DISK_RESERVE_BYTES = 256 << 20
"""Free space the hub keeps: below it a sender gets A700 before anything is written."""

# --- removable media ----------------------------------------------------------------------------------

MEDIA_FILES_MAX = 1_000_000
"""Files looked at in one import. A teaching archive of a large department has about 400,000."""

MEDIA_DEPTH_MAX = 32
"""Folders inside folders on a medium; PS3.10 §8.2 allows 8."""

MEDIA_DIRECTORY_BYTES_MAX = 64 << 20
"""One DICOMDIR. A disc of 10,000 images needs about 6 MB."""

ZIP_MEMBERS_MAX = 100_000
"""Members of one zip file."""

ZIP_DIRECTORY_BYTES_MAX = 32 << 20
"""Central directory of a zip file, which is read whole; 100,000 members need about 10 MB."""

ZIP_RATIO_MAX = 200
"""Inflated : stored of one member beyond the first MiB. Deflate reaches 1032; CT pixels about 3."""

ZIP_BYTES_MAX = 1 << 40
"""Bytes out of one zip file in all."""

# --- inspection in processes of their own ------------------------------------------------------------

SANDBOX_SECONDS = 20.0
"""Silence of an inspection worker, or its answer after the last byte; a CT object takes a millisecond."""

SANDBOX_BYTES_PER_SECOND_MIN = 4 << 20
"""An object of a gigabyte may take four minutes longer. The slowest real inspection (PDF, rules) does 40 MiB/s."""

SANDBOX_MEMORY_BYTES = 768 << 20
"""Address space of an inspection worker beyond what its parent has: a document of 32 MiB, unpacked, several times."""

SANDBOX_OBJECTS_MAX = 64
"""Objects one worker sees; a worker that an object has taken over can lie about those after it, and no more."""

SANDBOX_WORKERS_MAX = 128
"""Workers at once: one for each association that is in the middle of an object, and as many for the console."""

SANDBOX_IDLE_MAX = 4
"""Workers kept waiting; another one takes 3 ms to make."""

SANDBOX_RESULT_BYTES_MAX = 64 << 20
"""One answer. The places of a million fragments take 16 MB."""

DISARM_BYTES_MAX = 2 << 30
"""An object of which a harmless copy is made; it is held in memory once. A larger one is refused."""

DISARM_MEMORY_BYTES = 768 << 20
"""What making a copy may take besides the object itself: pixels that must be changed, frames that must be joined, a
document written anew. Pixels that stay as they are take none of it."""

RULES_BYTES_MAX = 64 << 20
"""Objects are held whole up to here for YARA rules; longer ones are looked through in windows of it."""

# --- feeds -------------------------------------------------------------------------------------------

FEED_FILES_MAX = 20_000
"""Files of one feed. The largest public rule sets have a few thousand."""

FEED_FILE_BYTES_MAX = 16 << 20
"""One file of a feed; it is held whole while it is taken in."""

FEED_BYTES_MAX = 256 << 20
"""All files of a feed. 7,000 YARA rules are about 15 MiB, a year of advisories about as much."""

FEED_MEMORY_BYTES = 4 << 30
"""Address space of the process that tries rules, beyond what it begins with; 7,000 rules take about 1 GiB."""

FEED_SECONDS = 300.0
"""Time rules have to compile; 7,000 take about ten seconds, twice."""

# --- pictures and the console -------------------------------------------------------------------------

FRAME_BYTES_MAX = 512 << 20
"""One decoded frame. The largest real one seen (digital breast tomosynthesis, 32-bit colour) is below 128 MiB."""

FRAME_SIDE_MAX = 65_535
"""Rows and Columns are US (PS3.3 C.7.6.3); a code stream that claims more is refused before its codec runs."""

DECODE_SECONDS = 30.0
"""Silence of a codec worker after which it is killed; 100 megapixels of JPEG 2000 take about 8 s."""

DECODE_MEMORY_BYTES = 4 << 30
"""Address space of a codec worker, libraries (about 1 GiB) included."""

DECODE_HEAD_BYTES_MAX = 256 << 20
"""What a codec worker may read of an object outside its pixel data."""

SESSIONS_MAX = 1_000
"""Console sessions held at once; the oldest ends when one more begins."""

SESSION_SECONDS = 8 * 3600
"""Life of a console session: one working day."""

LOGIN_FAILURES_MAX = 8
"""Wrong passwords from one address, or for one name, within `LOGIN_WINDOW_SECONDS` before 429."""

LOGIN_WINDOW_SECONDS = 300.0
"""Window of the failures above."""

FORM_BYTES_MAX = 65_536
"""A form posted to the console; ours have three short fields."""

MULTIPART_HEADER_BYTES_MAX = 8_192
"""Header block of one part in multipart/related (PS3.18 §8.6)."""

MULTIPART_PARTS_MAX = 100_000
"""Parts in one STOW-RS request."""

QIDO_RESULTS_MAX = 1_000
"""Matches in one QIDO-RS answer; a `Warning` header tells there are more (PS3.18 §8.3.4.4)."""

EVENT_STREAMS_MAX = 64
"""Live pages open at once; one a tab."""

# --- imaging ------------------------------------------------------------------------------------------

PHANTOM_TEXT_BYTES_MAX = 4 << 20
"""A phantom's TOML file. The hand that comes with Leadglass has 30 KB."""

PHANTOM_BODIES_MAX = 10_000
"""Bodies of a phantom, coats included; each costs every ray near it."""

PHANTOM_POINTS_MAX = 1_000
"""Points of one strand."""

SCAN_BINS_MAX = 64
"""Energy bins of a scan. Medipix3 has 8 counters; photon-counting detectors with 32 have been built."""

SCAN_COUNTS_MAX = 1 << 34
"""Counts of one scan: 8 bins, 2,000 views, 1,024 × 1,024 pixels."""

SCAN_VIEWS_MAX = 1 << 20
"""Views of one scan, helical ones included."""

SCAN_TEXT_BYTES_MAX = 65_536
"""One piece of text in a scan's file."""

MAP_BYTES_MAX = 4 << 30
"""One material map read back: 1,024³ voxels of 4 bytes."""
