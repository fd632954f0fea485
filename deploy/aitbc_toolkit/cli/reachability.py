"""`aitbc network topology | partition | recover`: who is linked with whom, and who reaches whom."""

import json
from collections.abc import Iterator

import click

from aitbc_node.rpc import surroundings
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.environment import load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.partition import Split, View, look
from aitbc_toolkit.release import redialling
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.shape import Shape, shape_of

_SHORT = 12

_SHAPE_COLUMNS = (
    Column("NODE"),
    Column("LINKS", right=True),
    Column("OUT", right=True),
    Column("KNOWN", spare=1, right=True),
    Column("LINKED WITH"),
)

_VIEW_COLUMNS = (
    Column("NODE"),
    Column("HEIGHT", right=True),
    Column("BLOCK", spare=2),
    Column("REACHES", right=True),
    Column("FOR S", spare=1, right=True),
    Column("OUT OF REACH"),
    Column("STATE"),
)


@click.command()
@environment_option
@json_option
def topology(environment: str, *, as_json: bool) -> Exit:
    """Draw who is linked with whom, and say whose loss would split the mesh.

    Of each node a line: `>` is a link that it dialled, `<` one that the other did.

    Example: aitbc network topology -e lab
    """
    with reach(environment) as (found, mesh):
        told = mesh.ask_all(lambda node: node.get("/net/topology", surroundings.Topology))
        hosts = {each.name: each.host for each in found.instances}
    shape = shape_of(told, hosts)
    if as_json:
        click.echo(json.dumps(shape.to_json()))
    else:
        rows = [_shape_cells(name, shape) for name in told]
        click.echo("\n".join([*tables.draw(_SHAPE_COLUMNS, rows), "", *_shape_lines(shape)]))
    return Exit.OK if shape.up else Exit.UNREACHABLE


@click.command()
@environment_option
@json_option
def partition(environment: str, *, as_json: bool) -> Exit:
    """Show whom every node reaches, which sides that makes, and if all have one chain.

    Each by its own word; whom nobody reaches may be down as well. Nothing is changed.

    Example: aitbc network partition -e lab
    """
    with reach(environment) as (found, mesh):
        seen = look(found.name, mesh)
    if as_json:
        click.echo(json.dumps(seen.to_json()))
    else:
        drawn = tables.draw(_VIEW_COLUMNS, [_view_cells(each, seen) for each in seen.views])
        click.echo("\n".join([*drawn, "", *_split_lines(seen)]))
        for hint in _split_hints(seen):
            say(f"hint: {hint}", err=True)
    return Exit.OK if seen.up else Exit.UNREACHABLE


@click.command()
@click.argument("name", required=False, default="")
@environment_option
@json_option
def recover(name: str, environment: str, *, as_json: bool) -> Exit:
    """Let one node, or all, dial at once whom they miss, and wait until all reach all power.

    Without it they do so as well, with growing delays. Status 1 where somebody stays out of reach.

    Example: aitbc network recover -e lab
    """

    def work(tell: Tell) -> Outcome:
        return redialling.recover(load(environment), name, tell)

    return narrate("network recover", work, as_json=as_json)


def _shape_cells(name: str, shape: Shape) -> tuple[str, ...]:
    told = shape.told[name]
    if isinstance(told, Silence):
        return name, "-", "-", "-", told.state
    linked = sorted(
        f"{'>' if link.direction == 'out' else '<'}{shape.name(link.id)}" for link in told.links
    )
    return name, str(told.degree), str(told.out_degree), str(told.known), " ".join(linked) or "-"


def _shape_lines(shape: Shape) -> Iterator[str]:
    graph, parts = shape.graph, shape.graph.components()
    degrees = graph.degrees().values()
    yield (
        f"{len(degrees)} nodes, {sum(degrees) // 2} links, {min(degrees, default=0)} to"
        f" {max(degrees, default=0)} a node"
    )
    if len(parts) == 1:
        yield f"one mesh, at most {graph.diameter()} steps from node to node"
    else:
        yield f"{len(parts)} parts: {'; '.join(' '.join(sorted(part)) for part in parts)}"
    if shape.splitting_hosts:
        yield f"the loss of one of these hosts would split it: {', '.join(shape.splitting_hosts)}"


def _view_cells(view: View, seen: Split) -> tuple[str, ...]:
    if view.height is None:
        return view.name, "-", "-", "-", "-", "-", view.state
    block = "-" if view.block is None else f"{view.block[:_SHORT]} at {seen.compared:,}"
    lacking = "-" if view.lacking_ms is None else f"{view.lacking_ms / 1000:.0f}"
    reaches = f"{view.reaches} of {view.total}"
    misses = " ".join(view.misses) or "-"
    return view.name, f"{view.height:,}", block, reaches, lacking, misses, view.state


def _split_lines(seen: Split) -> Iterator[str]:
    if not seen.up:
        yield f"{seen.environment}: no node answered"
        return
    if seen.missed:
        yield from (side.to_line() for side in seen.sides)
    else:
        yield "one mesh: every node that answered reaches all the voting power"
    chains = seen.chains
    if len(chains) > 1:
        told = "; ".join(f"{block[:_SHORT]} {' '.join(names)}" for block, names in chains.items())
        yield f"a fork: at height {seen.compared:,} they have different blocks: {told}"
    elif chains:
        yield f"one chain: who could tell has the same block of height {seen.compared:,}"


def _split_hints(seen: Split) -> Iterator[str]:
    name = seen.environment
    if len(seen.chains) > 1:
        yield f"keep the data of all nodes, it is evidence: aitbc drift {name}"
    elif seen.missed:
        yield f"once the network is back: aitbc network recover -e {name}"
    if not seen.is_whole:
        yield f"what is wrong: aitbc diagnose network -e {name}"
