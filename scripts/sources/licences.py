"""The licence notes that travel with each bundled source."""

from __future__ import annotations

APACHE = """These weights are licensed under the Apache License, Version 2.0 (SPDX: Apache-2.0); you may obtain a copy of it at
https://www.apache.org/licenses/LICENSE-2.0. They are distributed on an "AS IS" basis, without warranties or conditions
of any kind.
"""

GLYPHS = (
    APACHE
    + """
The pictures that the network learned from were drawn with fonts that matplotlib ships; no font is contained here:
- DejaVu fonts: Bitstream Vera licence, changes in the public domain (LICENSE_DEJAVU of matplotlib).
- STIX fonts: STIX Font License (LICENSE_STIX of matplotlib).
- Computer Modern (cm*): BaKoMa fonts licence, as shipped with matplotlib.
"""
)

OBJECTS = (
    APACHE
    + """
What the network learned from, with thanks:
- Caltech-101 by Fei-Fei Li, Marco Andreetto, Marc'Aurelio Ranzato and Pietro Perona (CaltechDATA, 2022,
  doi 10.22002/D1.20086), CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/): 70 of its classes, resized. No picture is contained here.
- MobileNet v1 by the TensorFlow authors (Howard et al. 2017), Apache-2.0, as published in google-coral/test_data: the
  teacher whose answers the network learned to give. None of its weights are contained here.
"""
)
