"""What joint procurements and shared solutions refuse, each with its mend."""

from app.kit.errors import AppError, Kind


class JointNotFound(AppError):
    """No such joint procurement, or none that the caller's organisations take part in."""

    kind = Kind.NOT_FOUND
    code = "joint_procurement_not_found"
    ja = "共同調達 {id} は見つかりません。GET /v1/joint-procurements で一覧を確認してください。"
    en = "There is no joint procurement {id}. GET /v1/joint-procurements lists those you take part in."


class JointInvalid(AppError):
    """What was said of a joint procurement does not fit; `faults` says where."""

    kind = Kind.INVALID
    code = "joint_procurement_invalid"
    ja = "共同調達の登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the joint procurement is wrong. See errors."


class JointChanged(AppError):
    """Somebody else was faster, and their change would be lost."""

    kind = Kind.CONFLICT
    code = "joint_procurement_changed"
    ja = "共同調達 {id} は改訂 {now} に進んでいます（指定: {given}）。読み直して変更をやり直してください。"
    en = (
        "The joint procurement {id} is at revision {now}, not {given}. Read it again and repeat it."
    )


class AlreadyParticipant(AppError):
    """A body takes part once; the lead always does."""

    kind = Kind.CONFLICT
    code = "already_participant"
    ja = "{organization} は {since} から共同調達 {id} に参加しています。"
    en = "{organization} takes part in the joint procurement {id} from {since} on."


class NotAParticipant(AppError):
    """There is no part that could be ended."""

    kind = Kind.CONFLICT
    code = "not_a_participant"
    ja = "{organization} は共同調達 {id} に参加していません（主幹団体は外せません）。"
    en = "{organization} takes no part in the joint procurement {id}; its lead cannot leave it."


class SolutionNotFound(AppError):
    """No such shared solution, or one that was withdrawn."""

    kind = Kind.NOT_FOUND
    code = "shared_solution_not_found"
    ja = "共同利用のソリューション {id} は見つかりません。GET /v1/shared-solutions で確認してください。"
    en = "There is no shared solution {id}. GET /v1/shared-solutions lists them."


class SolutionInvalid(AppError):
    """What was said of a shared solution does not fit; `faults` says where."""

    kind = Kind.INVALID
    code = "shared_solution_invalid"
    ja = "共同利用のソリューションの登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the shared solution is wrong. See errors."
