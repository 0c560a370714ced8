"""How the morning is told, in English and French. Texts that the hub itself writes (reasons) stay as it writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Words = Mapping[str, str | tuple[str, ...]]

_ENGLISH: Final[Words] = {
    "title": "A morning with Leadglass",
    "site": "Demonstration",
    "playing": "Playing a morning",
    "columns": ("Step", "What happened", "As promised"),
    "yes": "yes",
    "no": "NO",
    "sent": "Sent over mutual TLS",
    "sent.told": "{objects} objects, {megabytes:.1f} MB, {megabytes_per_second:.1f} MB/s, "
    "{objects_per_second:.0f} a second: a CT series of {series}; CT, MR, ultrasound, NM, radiotherapy, ECG, reports; "
    "one and many frames; 10 transfer syntaxes",
    "sealed": "Sealed and opened again",
    "sealed.told": "{identical} of {objects} bit-identical, each under its own key",
    "colour": "Colour CT of a hand",
    "colour.told": "photons of {views} views counted in {bins} energies, {voxels} voxels of water, calcium, iodine and "
    "gold, {objects} objects sent over mutual TLS: {seconds:.1f} s",
    "held": "Held",
    "held.told": "{held} objects",
    "stranger": "Refused at the door",
    "stranger.told": "{refused} callers: an unknown name, and another node's name; the first waits for approval",
    "moved": "Second archive: C-FIND, C-MOVE",
    "moved.told": "{studies} study, {identical} of {objects} objects bit-identical, {seconds:.1f} s",
    "web": "DICOMweb: QIDO-RS, WADO-RS",
    "web.told": "{studies} study, {identical} of {objects} objects bit-identical, one picture rendered",
    "ledger": "Ledger",
    "ledger.told": "{entries} entries, chain and signatures whole",
    "unreadable": "Searched on the disk",
    "unreadable.told": "{files} files; patient names, IDs and UIDs found in {found}",
    "none": "none",
    "console": "Console:   {url}",
    "hand": "The hand:  {url}",
    "password": "Log in:    {account} / {password}   (one-time password)",
    "stop": "The browser does not know the site's certificate, made a moment ago: go on past its warning.\n"
    "Press Ctrl-C to stop; the site lies in a temporary folder and is removed then.",
    "fine": "Everything went as promised. The temporary site is removed; run without --once to look around.",
    "failed": "Not everything went as promised: see the lines marked NO.",
}

_FRENCH: Final[Words] = {
    "title": "Une matinée avec Leadglass",
    "site": "Démonstration",
    "playing": "La matinée se déroule",
    "columns": ("Étape", "Ce qui s'est passé", "Comme promis"),
    "yes": "oui",
    "no": "NON",
    "sent": "Envoyé en TLS mutuel",
    "sent.told": "{objects} objets, {megabytes:.1f} Mo, {megabytes_per_second:.1f} Mo/s, "
    "{objects_per_second:.0f} par seconde : une série CT de {series} coupes ; CT, IRM, échographie, MN, "
    "radiothérapie, ECG, comptes rendus ; une ou plusieurs images ; 10 syntaxes de transfert",
    "sealed": "Scellé puis rouvert",
    "sealed.told": "{identical} sur {objects} identiques au bit près, chacun sous sa propre clé",
    "colour": "Scanner couleur d'une main",
    "colour.told": "photons de {views} vues comptés dans {bins} énergies, {voxels} voxels d'eau, de calcium, d'iode et "
    "d'or, {objects} objets envoyés en TLS mutuel : {seconds:.1f} s",
    "held": "Retenu dans le sas",
    "held.told": "{held} objets",
    "stranger": "Refusé à la porte",
    "stranger.told": "{refused} appelants : un nom inconnu, et le nom d'un autre nœud ; "
    "le premier attend une approbation",
    "moved": "Seconde archive : C-FIND, C-MOVE",
    "moved.told": "{studies} examen, {identical} objets sur {objects} identiques au bit près, {seconds:.1f} s",
    "web": "DICOMweb : QIDO-RS, WADO-RS",
    "web.told": "{studies} examen, {identical} objets sur {objects} identiques au bit près, une image affichée",
    "ledger": "Registre",
    "ledger.told": "{entries} inscriptions, chaîne et signatures intactes",
    "unreadable": "Recherche sur le disque",
    "unreadable.told": "{files} fichiers ; noms, identifiants et UID de patients trouvés dans : {found}",
    "none": "aucun",
    "console": "Console :     {url}",
    "hand": "La main :     {url}",
    "password": "Connexion :   {account} / {password}   (mot de passe à usage unique)",
    "stop": "Le navigateur ne connaît pas le certificat du site, créé à l'instant : passez outre l'avertissement.\n"
    "Ctrl-C pour arrêter ; le site est dans un dossier temporaire, supprimé à ce moment.",
    "fine": "Tout s'est passé comme promis. Le site temporaire est supprimé ; sans --once, la console reste ouverte.",
    "failed": "Tout ne s'est pas passé comme promis : voir les lignes marquées NON.",
}


def words(language: str) -> Words:
    """Give the texts of a language."""
    return _FRENCH if language == "fr" else _ENGLISH


def told(texts: Words, key: str, numbers: Mapping[str, object]) -> str:
    """Tell one thing with its numbers."""
    text = texts[key]
    assert isinstance(text, str)
    filled = {name: (", ".join(map(str, value)) or texts["none"]) if isinstance(value, list) else value
              for name, value in numbers.items()}  # fmt: skip
    return text.format(**filled)
