"""What programmes and projects refuse, each with its mend."""

from app.kit.errors import AppError, Kind


class ProgrammeNotFound(AppError):
    """No such programme."""

    kind = Kind.NOT_FOUND
    code = "programme_not_found"
    ja = "事業 {id} は見つかりません。GET /v1/programmes で一覧を確認してください。"
    en = "There is no programme {id}. GET /v1/programmes lists them."


class ProgrammeExists(AppError):
    """One title a year and organisation."""

    kind = Kind.CONFLICT
    code = "programme_exists"
    ja = "組織 {organization} の {year} 年度の事業「{title}」は既にあります（{id}）。"
    en = "{organization} has a programme “{title}” of fiscal year {year} already ({id})."


class ProgrammeChanged(AppError):
    """Somebody else was faster, and their change would be lost."""

    kind = Kind.CONFLICT
    code = "programme_changed"
    ja = "事業 {id} は改訂 {now} に進んでいます（指定: {given}）。読み直して変更をやり直してください。"
    en = "The programme {id} is at revision {now}, not {given}. Read it again and repeat your change."


class ProjectNotFound(AppError):
    """No such project, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "project_not_found"
    ja = "プロジェクト {id} は見つかりません。GET /v1/projects で一覧を確認してください。"
    en = "There is no project {id}. GET /v1/projects lists those that you may see."


class ProjectExists(AppError):
    """One title a programme and organisation, but for what was rejected or withdrawn."""

    kind = Kind.CONFLICT
    code = "project_exists"
    ja = "この事業には組織 {organization} のプロジェクト「{title}」が既にあります（{id}）。"
    en = "{organization} has a project “{title}” in this programme already ({id})."


class ProjectInvalid(AppError):
    """What was said of a project does not fit with what else is known; `faults` says where."""

    kind = Kind.INVALID
    code = "project_invalid"
    ja = "プロジェクトの登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the project is wrong. See errors."


class ProjectChanged(AppError):
    """Somebody else was faster, and their change would be lost."""

    kind = Kind.CONFLICT
    code = "project_changed"
    ja = "プロジェクト {id} は改訂 {now} に進んでいます（指定: {given}）。読み直して変更をやり直してください。"
    en = "The project {id} is at revision {now}, not {given}. Read it again and repeat your change."


class ProjectFixed(AppError):
    """What was approved is not said anew, and what has ended is not said anew at all."""

    kind = Kind.CONFLICT
    code = "project_fixed"
    ja = "プロジェクト {id} は {state} のため、この変更はできません（変更できる項目: {members}）。"
    en = "Of the project {id}, which is {state}, only this may change: {members}."


class ProjectMoveRefused(AppError):
    """From where it stands there is no way there."""

    kind = Kind.CONFLICT
    code = "project_move_refused"
    ja = "プロジェクト {id} は {state} のため {to} にできません（次に進める状態: {known}）。"
    en = "The project {id} is {state} and cannot become {to}. It can become: {known}."


class ProjectNotYours(AppError):
    """The owner submits and withdraws; who runs the programme decides."""

    kind = Kind.FORBIDDEN
    code = "project_not_yours"
    ja = "プロジェクトを {to} にできるのは、組織 {organization} か上位の組織だけです。"
    en = "Only {organization} or an organisation above it can make the project {to}."


class ProjectNotCovered(AppError):
    """What the programme requires is neither certified nor planned; `faults` says what is missing."""

    kind = Kind.CONFLICT
    code = "project_not_covered"
    ja = (
        "プロジェクト {id} は、事業が求める適合を満たしていないため承認できません（{count}件、errors"
        " を確認）。有効な証明書か、今日以降の期日のある計画（plans）が必要です。"
    )
    en = (
        "The project {id} cannot be approved: {count} of what the programme requires is missing, see"
        " errors. Each needs a certificate that is valid, or a plan dated today or later (plans)."
    )


class SheetInvalid(AppError):
    """A sheet of projects is wrong; `faults` names each line and column. Nothing is kept then."""

    kind = Kind.INVALID
    code = "project_sheet_invalid"
    ja = "プロジェクト一覧の表に誤りがあります。何も取り込んでいません。"
    en = "The sheet of projects is wrong. Nothing was taken in."
