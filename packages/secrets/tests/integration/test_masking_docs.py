"""The example in the explanation of masking does what it says, where the library is all that is installed."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "explanation" / "masking.md"


def test_the_example_prints_what_the_page_says():
    blocks = r"```python title=\"mine.py\"\n(.*?)```.*?```console\n\$ python mine.py\n(.*?)```"
    program, output = re.search(blocks, PAGE.read_text(), re.DOTALL).groups()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output == done.stdout
    assert done.stderr == ""
    assert len([line for line in program.splitlines() if line]) <= 11
