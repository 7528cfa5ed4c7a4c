from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[DType]
    DTYPE_FLOAT32: _ClassVar[DType]
    DTYPE_FLOAT16: _ClassVar[DType]
    DTYPE_INT64: _ClassVar[DType]
    DTYPE_INT32: _ClassVar[DType]
    DTYPE_INT8: _ClassVar[DType]
    DTYPE_UINT8: _ClassVar[DType]
    DTYPE_BOOL: _ClassVar[DType]

class Importance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPORTANCE_UNSPECIFIED: _ClassVar[Importance]
    IMPORTANCE_CRITICAL: _ClassVar[Importance]
    IMPORTANCE_DEFAULT: _ClassVar[Importance]
    IMPORTANCE_SHEDDABLE: _ClassVar[Importance]

class Step(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_UNSPECIFIED: _ClassVar[Step]
    STEP_FULL: _ClassVar[Step]
    STEP_FEWER_CANDIDATES: _ClassVar[Step]
    STEP_SMALLER_VARIANT: _ClassVar[Step]
    STEP_PRIOR_ORDER: _ClassVar[Step]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_NOT_SCORED: _ClassVar[Outcome]
    OUTCOME_SCORED: _ClassVar[Outcome]
    OUTCOME_PRIOR_ONLY: _ClassVar[Outcome]
    OUTCOME_SKIPPED_DEADLINE: _ClassVar[Outcome]
    OUTCOME_INVALID: _ClassVar[Outcome]
DTYPE_UNSPECIFIED: DType
DTYPE_FLOAT32: DType
DTYPE_FLOAT16: DType
DTYPE_INT64: DType
DTYPE_INT32: DType
DTYPE_INT8: DType
DTYPE_UINT8: DType
DTYPE_BOOL: DType
IMPORTANCE_UNSPECIFIED: Importance
IMPORTANCE_CRITICAL: Importance
IMPORTANCE_DEFAULT: Importance
IMPORTANCE_SHEDDABLE: Importance
STEP_UNSPECIFIED: Step
STEP_FULL: Step
STEP_FEWER_CANDIDATES: Step
STEP_SMALLER_VARIANT: Step
STEP_PRIOR_ORDER: Step
OUTCOME_NOT_SCORED: Outcome
OUTCOME_SCORED: Outcome
OUTCOME_PRIOR_ONLY: Outcome
OUTCOME_SKIPPED_DEADLINE: Outcome
OUTCOME_INVALID: Outcome

class Tensor(_message.Message):
    __slots__ = ("name", "dtype", "shape", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Candidates(_message.Message):
    __slots__ = ("count", "int_ids", "string_ids", "texts", "prior_scores", "columns")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INT_IDS_FIELD_NUMBER: _ClassVar[int]
    STRING_IDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PRIOR_SCORES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    count: int
    int_ids: bytes
    string_ids: _containers.RepeatedScalarFieldContainer[str]
    texts: _containers.RepeatedScalarFieldContainer[str]
    prior_scores: bytes
    columns: _containers.RepeatedCompositeFieldContainer[Tensor]
    def __init__(self, count: _Optional[int] = ..., int_ids: _Optional[bytes] = ..., string_ids: _Optional[_Iterable[str]] = ..., texts: _Optional[_Iterable[str]] = ..., prior_scores: _Optional[bytes] = ..., columns: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("model", "version", "variant", "request_id", "context", "query", "candidates", "top_k", "timeout_us", "importance", "tenant", "floor", "head_weights", "return_heads", "traceparent")
    class HeadWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    HEAD_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    RETURN_HEADS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    variant: str
    request_id: str
    context: _containers.RepeatedCompositeFieldContainer[Tensor]
    query: str
    candidates: Candidates
    top_k: int
    timeout_us: int
    importance: Importance
    tenant: str
    floor: Step
    head_weights: _containers.ScalarMap[str, float]
    return_heads: _containers.RepeatedScalarFieldContainer[str]
    traceparent: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., variant: _Optional[str] = ..., request_id: _Optional[str] = ..., context: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., query: _Optional[str] = ..., candidates: _Optional[_Union[Candidates, _Mapping]] = ..., top_k: _Optional[int] = ..., timeout_us: _Optional[int] = ..., importance: _Optional[_Union[Importance, str]] = ..., tenant: _Optional[str] = ..., floor: _Optional[_Union[Step, str]] = ..., head_weights: _Optional[_Mapping[str, float]] = ..., return_heads: _Optional[_Iterable[str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("request_id", "model", "version", "variant", "step", "order", "scores", "outcomes", "flags", "heads", "coverage", "timings", "catalog_version")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: str
    version: int
    variant: str
    step: Step
    order: _containers.RepeatedScalarFieldContainer[int]
    scores: bytes
    outcomes: bytes
    flags: bytes
    heads: _containers.RepeatedCompositeFieldContainer[Tensor]
    coverage: Coverage
    timings: Timings
    catalog_version: int
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., variant: _Optional[str] = ..., step: _Optional[_Union[Step, str]] = ..., order: _Optional[_Iterable[int]] = ..., scores: _Optional[bytes] = ..., outcomes: _Optional[bytes] = ..., flags: _Optional[bytes] = ..., heads: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., catalog_version: _Optional[int] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("candidates", "scored", "by_ladder", "by_deadline", "invalid")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    BY_LADDER_FIELD_NUMBER: _ClassVar[int]
    BY_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    INVALID_FIELD_NUMBER: _ClassVar[int]
    candidates: int
    scored: int
    by_ladder: int
    by_deadline: int
    invalid: int
    def __init__(self, candidates: _Optional[int] = ..., scored: _Optional[int] = ..., by_ladder: _Optional[int] = ..., by_deadline: _Optional[int] = ..., invalid: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_us", "queue_us", "form_us", "run_us", "split_us", "total_us", "batch_rows", "batch_requests")
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    FORM_US_FIELD_NUMBER: _ClassVar[int]
    RUN_US_FIELD_NUMBER: _ClassVar[int]
    SPLIT_US_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    BATCH_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    decode_us: int
    queue_us: int
    form_us: int
    run_us: int
    split_us: int
    total_us: int
    batch_rows: int
    batch_requests: int
    def __init__(self, decode_us: _Optional[int] = ..., queue_us: _Optional[int] = ..., form_us: _Optional[int] = ..., run_us: _Optional[int] = ..., split_us: _Optional[int] = ..., total_us: _Optional[int] = ..., batch_rows: _Optional[int] = ..., batch_requests: _Optional[int] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("id", "rank", "cancel")
    ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    id: int
    rank: RankRequest
    cancel: Cancel
    def __init__(self, id: _Optional[int] = ..., rank: _Optional[_Union[RankRequest, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("id", "ranked", "refused", "notice")
    ID_FIELD_NUMBER: _ClassVar[int]
    RANKED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    id: int
    ranked: RankResponse
    refused: _status_pb2.Status
    notice: Notice
    def __init__(self, id: _Optional[int] = ..., ranked: _Optional[_Union[RankResponse, _Mapping]] = ..., refused: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("in_flight_max", "draining")
    IN_FLIGHT_MAX_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    in_flight_max: int
    draining: bool
    def __init__(self, in_flight_max: _Optional[int] = ..., draining: bool = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("model", "with_manifest")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WITH_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    model: str
    with_manifest: bool
    def __init__(self, model: _Optional[str] = ..., with_manifest: bool = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("model", "version", "state", "reason", "is_default", "variants", "default_variant", "budget_us", "manifest_json")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ModelVersion.State]
        STATE_LOADING: _ClassVar[ModelVersion.State]
        STATE_SERVING: _ClassVar[ModelVersion.State]
        STATE_REFUSED: _ClassVar[ModelVersion.State]
        STATE_DRAINING: _ClassVar[ModelVersion.State]
    STATE_UNSPECIFIED: ModelVersion.State
    STATE_LOADING: ModelVersion.State
    STATE_SERVING: ModelVersion.State
    STATE_REFUSED: ModelVersion.State
    STATE_DRAINING: ModelVersion.State
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VARIANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_JSON_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    state: ModelVersion.State
    reason: str
    is_default: bool
    variants: _containers.RepeatedScalarFieldContainer[str]
    default_variant: str
    budget_us: int
    manifest_json: bytes
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[ModelVersion.State, str]] = ..., reason: _Optional[str] = ..., is_default: bool = ..., variants: _Optional[_Iterable[str]] = ..., default_variant: _Optional[str] = ..., budget_us: _Optional[int] = ..., manifest_json: _Optional[bytes] = ...) -> None: ...
