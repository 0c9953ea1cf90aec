"""`memcore convert-checkpoint`: weights of torch.save as safetensors."""

from pathlib import Path

import click


@click.command("convert-checkpoint", short_help="Convert weights of torch.save to safetensors.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: SOURCE.safetensors]"
)
@click.option(
    "--key", default="", help="Entry of the file that holds the weights, where several could."
)
@click.option(
    "--strip",
    default="",
    help="Beginning to take off all names, such as model, beside module and _orig_mod.",
)
def convert_checkpoint(source: Path, out: Path | None, key: str, strip: str) -> None:
    """Convert the weights in SOURCE, a file of torch.save, to safetensors for a study.

    This is the only command of memcore that unpickles a file. It lets torch build nothing but
    tensors and plain values, but use it for files of people you trust only.
    """
    from memcore.study.foreign import convert_checkpoint as converted

    target = out if out is not None else source.with_suffix(".safetensors")
    done = converted(source, target, key=key, strip=strip)
    click.echo(f"read {len(done.names)} tensors from '{source}'", nl=False)
    click.echo(f", entry {done.key!r}" if done.key else "")
    if done.stripped:
        click.echo(f"took {done.stripped!r} off all names")
    if done.left_out:
        click.echo(f"left out {', '.join(done.left_out)}")
    click.echo(f"wrote '{target}'; in a study: checkpoint = \"{target}\"")
