"""
Read models: rows and tables folded from the log, read through views, built anew beside the live ones.
"""

from eventbus.projections.administration import ProjectionAdministration
from eventbus.projections.applied import wait_until_applied
from eventbus.projections.build import Build
from eventbus.projections.comparison import TableComparison
from eventbus.projections.definition import AnyProjection, projects
from eventbus.projections.generations import Generation, Generations, LeaseHeld, RebuildRefused
from eventbus.projections.pauses import Pause, Pauses, ProjectionPaused
from eventbus.projections.preparation import prepare_projections
from eventbus.projections.progress import RebuildProgress
from eventbus.projections.projection import Projection
from eventbus.projections.provision import view_provider
from eventbus.projections.rebuild import Rebuild
from eventbus.projections.rollback import Rollback
from eventbus.projections.row import Row
from eventbus.projections.row_projection import RowProjection
from eventbus.projections.runner import ProjectionRunner
from eventbus.projections.standing import PartitionStanding, Standing, standings
from eventbus.projections.takeover import RebuildResult
from eventbus.projections.upkeep import Upkeep
from eventbus.projections.view import Snapshot, View

__all__ = [
    "AnyProjection",
    "Build",
    "Generation",
    "Generations",
    "LeaseHeld",
    "PartitionStanding",
    "Pause",
    "Pauses",
    "Projection",
    "ProjectionAdministration",
    "ProjectionPaused",
    "ProjectionRunner",
    "Rebuild",
    "RebuildProgress",
    "RebuildRefused",
    "RebuildResult",
    "Rollback",
    "Row",
    "RowProjection",
    "Snapshot",
    "Standing",
    "TableComparison",
    "Upkeep",
    "View",
    "prepare_projections",
    "projects",
    "standings",
    "view_provider",
    "wait_until_applied",
]
