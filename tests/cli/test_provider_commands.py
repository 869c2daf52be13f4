"""`urbanos provider`: an organisation's identity provider at the shell."""

import json
from pathlib import Path
from subprocess import CompletedProcess

from tests.cli.test_demo import Home, free_port

PROVIDER = {
    "id": "osaka-city", "organization": "271004", "name": "大阪市職員認証",
    "issuer": "https://idp.city.example.jp", "client_id": "urban-os",
    "domains": ["city.example.jp"], "group_claim": "groups",
    "groups": {"data-stewards": {"roles": ["steward"]}},
}  # fmt: skip


def test_a_provider_is_added_told_anew_and_switched_off(tmp_path: Path, database_url: str) -> None:
    home = Home(tmp_path, free_port(), database_url)

    def run(*words: str, **said: object) -> CompletedProcess[str]:
        file = tmp_path / f"{words[0]}.json"
        file.write_text(json.dumps(said), "utf-8")
        given = (*words, str(file)) if said else words
        return home.run("provider", *given, "--json")

    added = json.loads(run("add", **PROVIDER).stdout)
    refused = run("add", **{**PROVIDER, "issuer": "https://169.254.169.254"})
    changed = json.loads(run("vouch", "osaka-city", domains=["pref.example.jp"]).stdout)
    off = json.loads(run("disable", "osaka-city").stdout)

    assert added["redirect_uri"] == f"{home.url}/sign-in/callback/osaka-city"
    assert not {"sealed_secret", "sealed_private_jwk"} & added.keys()
    assert (refused.returncode, "[outbound_refused]" in refused.stderr) == (1, True)
    assert (changed["domains"], changed["groups"]) == (["pref.example.jp"], {})
    assert off["disabled_at"]
