"""What has to be there before a lab can boot? Images, the wheel cache, supplies of bare hosts."""

from aitbc_toolkit.lab.image import ensure_image
from aitbc_toolkit.lab.model import LabSpec, Stock
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab.requirements import Progress
from aitbc_toolkit.lab.supplies import ensure_supplies


def ensure_stock(places: Places, spec: LabSpec, *, progress: Progress) -> Stock:
    """Make what a lab's hosts are made from, where it is not there yet.

    Raises: AitbcError when a build or a download fails.
    """
    image = ensure_image(places.cache, progress=progress)
    places.uv_cache.mkdir(parents=True, exist_ok=True)
    if not spec.bare:
        return Stock(image)
    return Stock(
        image,
        bare_image=ensure_image(places.cache, progress=progress, bare=True),
        supplies=ensure_supplies(places, progress=progress),
    )
