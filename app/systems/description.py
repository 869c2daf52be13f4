"""What an organisation says of a system: who made it, what for, for whom, on what terms and costs.

Words and numbers only; it judges nothing and knows no table.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError


class Audience(StrEnum):
    """Who works with it."""

    RESIDENTS = "residents"
    BUSINESSES = "businesses"
    STAFF = "staff"


class Family(StrEnum):
    """The three families of a city's systems (glossary)."""

    RESIDENT = "resident"
    INTERNAL_ADMIN = "internal_admin"
    BUREAU = "bureau"


class State(StrEnum):
    """Where it is in its life."""

    PLANNED = "planned"
    IN_TEST = "in_test"
    RUNNING = "running"
    RETIRED = "retired"


class Hosting(StrEnum):
    """Where it stands, in the order in which a place is to be chosen (R18)."""

    GOV_CLOUD = "gov_cloud"
    SAAS = "saas"
    COMMON_CLOUD = "common_cloud"
    ON_PREMISES = "on_premises"

    @property
    def rank(self) -> int:
        """1 is to be chosen before 2."""
        return list(Hosting).index(self) + 1


class Amount(StrEnum):
    """How much of something there is."""

    NONE = "none"
    SOME = "some"
    FULL = "full"


class Risk(StrEnum):
    """How likely it is that nobody takes over."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class CostKind(StrEnum):
    """What was paid for."""

    BUILD = "build"
    OPERATION = "operation"
    REVISION = "revision"


# The 20 businesses (標準化対象20業務), by their codes.
BUSINESSES: Final = {
    "resident_register": ("住民基本台帳", "Basic resident register"),
    "seal_registration": ("印鑑登録", "Seal registration"),
    "family_register_supplement": ("戸籍の附票", "Family-register address supplement"),
    "family_register": ("戸籍", "Family register"),
    "electoral_roll": ("選挙人名簿管理", "Electoral roll"),
    "school_enrolment": ("就学", "School enrolment"),
    "fixed_asset_tax": ("固定資産税", "Fixed asset tax"),
    "individual_inhabitant_tax": ("個人住民税", "Individual inhabitant tax"),
    "corporate_inhabitant_tax": ("法人住民税", "Corporate inhabitant tax"),
    "light_vehicle_tax": ("軽自動車税", "Light motor vehicle tax"),
    "national_health_insurance": ("国民健康保険", "National health insurance"),
    "national_pension": ("国民年金", "National pension"),
    "late_elderly_medical": ("後期高齢者医療", "Late-stage elderly medical care"),
    "long_term_care": ("介護保険", "Long-term care insurance"),
    "disability_welfare": ("障がい者福祉", "Welfare for persons with disabilities"),
    "public_assistance": ("生活保護", "Public assistance"),
    "child_allowance": ("児童手当", "Child allowance"),
    "child_rearing_allowance": ("児童扶養手当", "Child-rearing allowance"),
    "childcare_support": ("子ども子育て支援", "Child and childcare support"),
    "health_management": ("健康管理", "Health management"),
}


def _is_text(text: str) -> str:
    if any(ord(sign) < 32 and sign not in "\t\n\r" for sign in text):
        raise PydanticCustomError(
            "control_character", "A control character (such as NUL) is not allowed. Take it out."
        )
    return text


def _is_business(code: str) -> str:
    if code not in BUSINESSES:
        known = ", ".join(BUSINESSES)
        raise PydanticCustomError(
            "unknown_business", "This is none of the 20 businesses: {known}.", {"known": known}
        )
    return code


Words = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_is_text)]
Story = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_is_text)]
Function = Annotated[
    str, StringConstraints(min_length=2, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
]
Business = Annotated[str, AfterValidator(_is_business)]
Year = Annotated[int, Field(ge=1980, le=2100, description="Fiscal year, beginning in April")]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Contract(_Said):
    """Since when it is bought of the same company, and how it was let the last time."""

    since: date
    until: date | None = None
    renewals: Annotated[int, Field(ge=0, le=100)] = 0
    bidders: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="In the last tender; 0 and 1: nobody else was asked or came"
    )


class Cost(_Said):
    """What was paid in a fiscal year, in yen with taxes."""

    year: Year
    yen: Annotated[int, Field(ge=0, le=10**13)]
    kind: CostKind = CostKind.OPERATION
    note: Words | None = None


class Interface(_Said):
    """A way by which other systems reach it. `standard`: by a published standard."""

    name: Words
    standard: bool


class Export(_Said):
    """In which formats its data can be taken out whole, and the load that proves it.

    `run`: the id of a load of this platform, of a file that the system wrote.
    """

    formats: Annotated[list[Words], Field(max_length=20)]
    run: UUID | None = None


class Certificate(_Said):
    """That somebody has certified it against a published standard.

    `service`: the service of this platform's list whose certificate proves it.
    """

    name: Words
    until: date
    service: UUID | None = None


class Plan(_Said):
    """Where it is to stand. `skipped`: why each place of an earlier rank was passed over."""

    hosting: Hosting
    by: date | None = None
    skipped: Annotated[dict[Hosting, Story], Field(default_factory=dict)]

    def unexplained(self) -> list[Hosting]:
        """The earlier places that were passed over without a word."""
        return [each for each in Hosting if each.rank < self.hosting.rank
                and each not in self.skipped]  # fmt: skip


class Description(_Said):
    """Everything that is said of a system. What is left out is not known."""

    name: Words
    name_en: Words | None = None
    vendor: Words | None = None
    function: Function = Field(
        description="What it does, as one word for all who have such a system"
    )
    audience: Annotated[list[Audience], Field(max_length=3, default_factory=list)]
    family: Family | None = None
    businesses: Annotated[list[Business], Field(max_length=20, default_factory=list)]
    state: State = State.RUNNING
    hosting: Hosting | None = None
    plan: Plan | None = None
    contract: Contract | None = None
    costs: Annotated[list[Cost], Field(max_length=200, default_factory=list)]
    data_held: Annotated[list[Words], Field(max_length=100, default_factory=list)]
    datasets: Annotated[
        list[Annotated[str, StringConstraints(max_length=63)]],
        Field(max_length=200, default_factory=list, description="Whose source of truth it is"),
    ]
    interfaces: Annotated[list[Interface], Field(max_length=100)] | None = None
    export: Export | None = None
    certificates: Annotated[list[Certificate], Field(max_length=50, default_factory=list)]
    customisation: Amount | None = None
    documentation: Amount | None = None
    succession: Risk | None = None
    note: Story | None = None

    def services(self) -> list[UUID]:
        """The certified services that it names."""
        return [each.service for each in self.certificates if each.service]
