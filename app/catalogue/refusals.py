"""What the catalogue refuses. Names the dataset and its state, never a row."""

from app.kit.errors import AppError, Kind


class DatasetNotFound(AppError):
    """No such dataset, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "dataset_not_found"
    ja = "データセット {id} は見つかりません。GET /v1/datasets で一覧を確認してください。"
    en = "There is no dataset {id}. GET /v1/datasets lists them."


class DatasetExists(AppError):
    """The id is taken."""

    kind = Kind.CONFLICT
    code = "dataset_exists"
    ja = "データセット {id} は既にあります。別の id を指定してください。"
    en = "The dataset {id} exists already. Choose another id."


class DatasetWithdrawn(AppError):
    """The publisher has withdrawn the dataset."""

    kind = Kind.GONE
    code = "dataset_withdrawn"
    ja = "データセット {id} は公開を終了しました。理由: {reason}"
    en = "The dataset {id} has been withdrawn. Reason: {reason}"


class DatasetNotWithdrawn(AppError):
    """Only what was withdrawn can be put back."""

    kind = Kind.CONFLICT
    code = "dataset_not_withdrawn"
    ja = "データセット {id} は公開を終了していません。"
    en = "The dataset {id} has not been withdrawn."


class DatasetInvalid(AppError):
    """What was said of the dataset is wrong; `faults` says where."""

    kind = Kind.INVALID
    code = "dataset_invalid"
    ja = "データセットの登録内容に誤りがあります。errors を確認してください。"
    en = "The dataset's description has faults. See errors."


class VersionNotFound(AppError):
    """No such version."""

    kind = Kind.NOT_FOUND
    code = "version_not_found"
    ja = "データセット {dataset} に版 {number} はありません。"
    en = "The dataset {dataset} has no version {number}."


class VersionDropped(AppError):
    """The version's rows were let go by the dataset's retention."""

    kind = Kind.GONE
    code = "version_dropped"
    ja = (
        "データセット {dataset} の版 {number} のレコードは、保存方針により {dropped_at} に削除されました。"
        "ほかの版を指定してください。"
    )
    en = (
        "The records of version {number} of the dataset {dataset} were let go on {dropped_at}, as"
        " its retention says. Ask for another version."
    )


class NothingAtThatTime(AppError):
    """Readers got nothing then, or it is not known what."""

    kind = Kind.NOT_FOUND
    code = "version_not_found"
    ja = (
        "データセット {dataset} の {moment} 時点の版はありません（記録は {first} から）。"
        "それ以後の時刻を as_of に指定してください。"
    )
    en = (
        "The dataset {dataset} had no version at {moment} (what is known begins at {first})."
        " Give a later as_of."
    )


class SourceNotFound(AppError):
    """The version was not loaded from a file."""

    kind = Kind.NOT_FOUND
    code = "source_not_found"
    ja = "データセット {dataset} の版 {number} にはもとのファイルがありません（レコードで登録されました）。"
    en = "Version {number} of the dataset {dataset} has no source file: it began with records."


class NeverPublished(AppError):
    """One can only go back to what readers had."""

    kind = Kind.CONFLICT
    code = "version_never_published"
    ja = "データセット {dataset} の版 {number} は公開されたことがありません。公開するには publish を使ってください。"
    en = "Version {number} of the dataset {dataset} was never published. Publish it instead."


class SchemaChangeUnconfirmed(AppError):
    """Readers of the published version could not read this one; `faults` says why."""

    kind = Kind.CONFLICT
    code = "schema_change_unconfirmed"
    ja = (
        "データセット {dataset} の版 {number} は、公開中の版 {current} と項目が異なります。"
        "errors を確認し、よければ confirm=true（コマンドでは --confirm）を付けて公開してください。"
    )
    en = (
        "The fields of version {number} of the dataset {dataset} differ from those of the published"
        " version {current}. See errors, and publish with confirm=true (the command: --confirm) if that"
        " is meant."
    )


class NoVersion(AppError):
    """Nothing has been published yet."""

    kind = Kind.NOT_FOUND
    code = "no_version_published"
    ja = "データセット {dataset} にはまだ公開された版がありません。"
    en = "The dataset {dataset} has no published version yet."


class LicenseMissing(AppError):
    """Public data needs a licence before it is published."""

    kind = Kind.INVALID
    code = "license_missing"
    ja = "データセット {dataset} は公開データですがライセンスがありません。PATCH で license を設定してください。"
    en = "The dataset {dataset} is public and has no licence. Set license by PATCH."


class NeverHosted(AppError):
    """特定個人情報 is metadata only."""

    kind = Kind.CONFLICT
    code = "metadata_only"
    ja = (
        "データセット {dataset} は特定個人情報です。レコードは登録できません"
        "（情報提供ネットワークシステムを利用してください）。"
    )
    en = (
        "The dataset {dataset} is specific personal information: only its description is kept."
        " Use the national information provision network."
    )


class RunNotFound(AppError):
    """No such run."""

    kind = Kind.NOT_FOUND
    code = "run_not_found"
    ja = "取込 {id} は見つかりません。"
    en = "There is no run {id}."


class RunNotFinished(AppError):
    """The run is still going, or ended without a version."""

    kind = Kind.CONFLICT
    code = "run_has_no_version"
    ja = "取込 {id} は {state} のため、この操作はできません。"
    en = "The run {id} is {state}: that cannot be done with it."


class RunEnded(AppError):
    """Nothing is left to stop or to do."""

    kind = Kind.CONFLICT
    code = "run_has_ended"
    ja = "取込 {id} は既に終了しています（{state}）。"
    en = "The run {id} has ended already ({state})."


class ProfileNotFound(AppError):
    """No such profile version."""

    kind = Kind.NOT_FOUND
    code = "profile_not_found"
    ja = "プロファイル {name} の版 {version} はありません。"
    en = "There is no profile {name} version {version}."


class ProfileExists(AppError):
    """A published profile version never changes."""

    kind = Kind.CONFLICT
    code = "profile_exists"
    ja = "プロファイル {name} の版 {version} は既にあります。変更するには新しい版を登録してください。"
    en = "The profile {name} version {version} exists and never changes. Add a new version."


class NoKey(AppError):
    """The operation needs a key field and the dataset has none."""

    kind = Kind.CONFLICT
    code = "dataset_has_no_key"
    ja = "データセット {dataset} にはキー項目がありません。fields の key を true にしてください。"
    en = "The dataset {dataset} has no key field. Declare one with key: true."
