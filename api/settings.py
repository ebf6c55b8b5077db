"""Settings of the API: how much one question may cost, and how many may run at once.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: every module of the API.
Guarantee: the defaults fit a laptop; the limits hold per process, Trino's own limits stand behind them.
"""

from pydantic import Field, SecretStr

from infra.runtime.settings import StackSettings


class ApiSettings(StackSettings):
    """Settings of the process ``clawtrace api run``."""

    api_query_timeout_s: float = Field(default=30.0, gt=0, description="Seconds after which the API ends a query.")
    api_max_queries: int = Field(default=8, ge=1, le=256, description="Queries that run in Trino at once.")
    api_max_queries_per_tenant: int = Field(
        default=4, ge=1, le=256, description="Queries that run in Trino at once for one tenant."
    )
    api_queue_timeout_s: float = Field(
        default=5.0, ge=0, description="Seconds that a request waits for its turn before it gets a 429."
    )
    api_max_sql_rows: int = Field(default=1_000, ge=1, le=100_000, description="Rows that POST /v1/sql returns.")
    api_max_result_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1024, description="Bytes of values after which a result is cut off."
    )
    api_max_trace_spans: int = Field(
        default=20_000, ge=1, le=200_000, description="Spans of one trace that GET /v1/traces/{trace_id} returns."
    )
    api_max_skeleton_spans: int = Field(
        default=200_000, ge=1, le=1_000_000, description="Spans of one trace that skeleton, graph and diff look at."
    )
    api_list_window_days: int = Field(
        default=90, ge=1, le=366, description="Widest time window of GET /v1/traces, and its default."
    )
    api_max_body_bytes: int = Field(default=1024 * 1024, ge=1024, description="Bytes of a request's body.")
    api_requests_per_s: float = Field(
        default=50.0, gt=0, description="Requests a second that one key may send in the long run."
    )
    api_request_burst: int = Field(default=200, ge=1, description="Requests that one key may send at once.")
    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )
    api_live_window_s: float = Field(default=900.0, gt=0, description="Seconds that the live window reaches back.")
    api_live_tenant_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Memory of the live window for one tenant."
    )
    api_live_bytes: int = Field(
        default=128 * 1024 * 1024, ge=1024, description="Memory of the live window for all tenants."
    )
    api_live_streams_per_tenant: int = Field(
        default=50, ge=1, description="Live streams that one tenant may have open at one API process; above it 429."
    )
    api_live_stream_s: float = Field(
        default=600.0, gt=0, description="Seconds that a live stream lasts before the client comes back by itself."
    )
    api_live_max_behind: int = Field(
        default=2_000, ge=1, description="Events that a reader of a live stream may be behind; older ones it misses."
    )
    api_live_history_records: int = Field(
        default=50_000, ge=16, description="Records of the topics that one live stream may read from before the window."
    )
    api_gateway_url: str = Field(
        default="", description="Gateway that is asked to price history again; empty means the local one."
    )
    api_public_url: str = Field(
        default="", description="Address under which browsers reach the API; empty means the local one."
    )
    oidc_issuer: str = Field(default="", description="Issuer of the OpenID provider for login; empty means none.")
    oidc_client_id: str = Field(default="", description="Name under which the provider knows this install.")
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Secret of that name; empty means a public client."
    )
    oidc_scopes: str = Field(default="openid email profile", description="Scopes that the provider is asked for.")
    oidc_trust_email: bool = Field(
        default=False, description="Take e-mail addresses of a provider that does not say whether it verified them."
    )
    api_session_hours: float = Field(
        default=12.0, gt=0, le=24 * 90, description="Hours after which people sign in again."
    )
    api_gzip_level: int = Field(default=4, ge=1, le=9, description="Effort of gzip; more than 5 costs much for little.")
