"""The rule of tests/conftest.py: a missing part skips on a laptop and fails under CI."""

from __future__ import annotations

from pathlib import Path

import pytest

SKIPPING = """
    import pytest

    def test_part(need):
        need("a printer", False, "for paper")

    @pytest.mark.needs("no-such-program")
    def test_program():
        pass

    @pytest.fixture
    def device(need):
        need("a device", False)

    def test_fixture(device):
        pass

    @pytest.mark.skipif(True, reason="missing: a kernel module")
    def test_marked():
        pass
"""
HARMLESS = """
    import pytest

    @pytest.mark.needs("sh")
    def test_there(need):
        need("a number", 1)

    def test_other_reason():
        pytest.skip("only on Tuesdays")
"""
MODULE = "import pytest; pytest.importorskip('no_such_module')"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # The conftest names a plugin in tests.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    pytester.makepyfile(test_skipping=SKIPPING, test_harmless=HARMLESS, test_module=MODULE)
    return pytester


def test_laptop_skips(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1, skipped=6)


def test_ci_fails(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_subprocess("--continue-on-collection-errors", "-rfE")
    # A skip in the set-up of a test counts as an error, as any failure there does.
    result.assert_outcomes(passed=1, skipped=1, failed=1, errors=4)
    result.stdout.fnmatch_lines(["*a printer (for paper); under CI a missing part is a failure*"])


def test_the_users_settings_do_not_reach_tests(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEPIQ_STATE_URL", "redis://the-lab/0")
    project.makepyfile(
        test_environment="""
            import os

            def test_clean():
                assert not [name for name in os.environ if name.startswith("NEPIQ_")]
        """
    )
    project.runpytest_subprocess("test_environment.py").assert_outcomes(passed=1)
