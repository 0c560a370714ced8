// Rules of our own, few and sure. Each says how grave it is; a match is the finding LG-YAR-001.

rule eicar_test_file
{
    meta:
        description = "The EICAR test file, which every virus scanner knows; harmless, and never in an image by chance"
        severity = "high"
    strings:
        $eicar = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52 }
    condition:
        $eicar
}

rule windows_program_in_an_image
{
    meta:
        description = "A whole Windows program inside a DICOM file: the DOS stub's sentence, at its place before PE"
        severity = "high"
    strings:
        $dicm = "DICM"
        $stub = "This program cannot be run in DOS mode"
        $mz = { 4D 5A }
    condition:
        $dicm at 128 and $stub and
        for any i in (1..#mz): (
            uint32(@mz[i] + 60) < 0x1000 and uint32(@mz[i] + uint32(@mz[i] + 60)) == 0x00004550
        )
}

rule linux_program_in_an_image
{
    meta:
        description = "A Linux program's header, whole, inside a DICOM file"
        severity = "high"
    strings:
        $dicm = "DICM"
        $elf = { 7F 45 4C 46 (01 | 02) (01 | 02) 01 [9] (01 | 02 | 03 | 04) 00 (03 | 3E | B7 | 28 | F3) 00 01 00 00 00 }
    condition:
        $dicm at 128 and $elf
}

rule web_shell
{
    meta:
        description = "A server script that runs what a visitor sends it"
        severity = "high"
    strings:
        $php = /<\?php[^?]{0,200}(eval|system|passthru|shell_exec|assert)\s*\(\s*(@\s*)?\$_(GET|POST|REQUEST|COOKIE)/ nocase
        $jsp = /Runtime\.getRuntime\(\)\.exec\(\s*request\.getParameter/
    condition:
        any of them
}

rule download_and_run
{
    meta:
        description = "A line that fetches a program and runs it at once"
        severity = "high"
    strings:
        $unix = /(curl|wget)\s[^|\n\r]{4,200}\|\s*(sudo\s+)?(ba|z)?sh\b/
        $windows = /powershell(\.exe)?\s[^\n\r]{0,200}(-enc(odedcommand)?\s+[A-Za-z0-9+\/=]{40}|DownloadString\s*\()/ nocase
    condition:
        any of them
}
