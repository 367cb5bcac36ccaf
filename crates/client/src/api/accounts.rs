//! Accounts: sign-up, sign-in, sessions, keys.
//!
//! Sign-in steps are made once and never repeated here: each uses something up (a code, an attempt).

use super::call::{Call, NOTHING};
use super::{Api, ApiFailure};
use darkslide_protocol::account::{
    AccountDetails, Authorization, DeleteAccountRequest, DeleteAccountResponse, DeleteChallenge,
    OneTimeCodeRequest, SessionValidity, Sessions, SetAttributesRequest, SrpAttributes,
    SrpAttributesResponse, SrpCompleteRequest, SrpCompleteResponse, SrpCreateSessionRequest,
    SrpCreateSessionResponse, SrpSetupRequest, SrpSetupResponse, SrpUpdateRequest, SrpVerifySessionRequest,
    VerifyEmailRequest,
};
use darkslide_protocol::server::ServerInfo;
use serde::Deserialize;

/// What `GET /ping` answers.
#[derive(Deserialize)]
struct Pong {
    message: String,
}

impl Api {
    /// Whether a server of this API is there at all.
    pub async fn ping(&self) -> Result<bool, ApiFailure> {
        let pong: Pong = self.ask(Call::get("reach the server", "/ping"), NOTHING).await?;
        Ok(pong.message == "pong")
    }

    /// Whether anybody may sign up, as the server says before anybody has signed in; 404 where it says nothing of the kind.
    pub async fn sign_up_open(&self) -> Result<bool, ApiFailure> {
        let info: ServerInfo =
            self.ask_once(Call::get("ask what the server can", "/v1/server"), NOTHING).await?;
        Ok(info.sign_up_open)
    }

    /// Has a one-time code sent.
    pub async fn send_code(&self, request: &OneTimeCodeRequest) -> Result<(), ApiFailure> {
        self.tell_once(Call::post("have a code sent", "/users/ott"), Some(request)).await
    }

    /// Proves the address with the code.
    pub async fn verify_email(&self, request: &VerifyEmailRequest) -> Result<Authorization, ApiFailure> {
        self.ask_once(Call::post("check the code", "/users/verify-email"), Some(request)).await
    }

    /// Stores the keys of a new account.
    pub async fn set_attributes(&self, request: &SetAttributesRequest) -> Result<(), ApiFailure> {
        self.tell_once(Call::put("store the account's keys", "/users/attributes"), Some(request)).await
    }

    /// What is needed before a password can be tried; 404 where only an e-mailed code will do.
    pub async fn srp_attributes(&self, email: &str) -> Result<SrpAttributes, ApiFailure> {
        let query = [("email", email)];
        let call = Call::get("begin to sign in", "/users/srp/attributes").query(&query);
        let response: SrpAttributesResponse = self.ask(call, NOTHING).await?;
        Ok(response.attributes)
    }

    /// Begins to register a password's verifier.
    pub async fn srp_setup(&self, request: &SrpSetupRequest) -> Result<SrpSetupResponse, ApiFailure> {
        self.ask_once(Call::post("set the password", "/users/srp/setup"), Some(request)).await
    }

    /// Ends registering the first verifier.
    pub async fn srp_complete(
        &self,
        request: &SrpCompleteRequest,
    ) -> Result<SrpCompleteResponse, ApiFailure> {
        self.ask_once(Call::post("set the password", "/users/srp/complete"), Some(request)).await
    }

    /// Ends replacing the verifier, and with it the wrapped master key.
    pub async fn srp_update(&self, request: &SrpUpdateRequest) -> Result<SrpCompleteResponse, ApiFailure> {
        self.ask_once(Call::post("change the password", "/users/srp/update"), Some(request)).await
    }

    /// Begins to sign in.
    pub async fn srp_create_session(
        &self,
        request: &SrpCreateSessionRequest,
    ) -> Result<SrpCreateSessionResponse, ApiFailure> {
        self.ask_once(Call::post("sign in", "/users/srp/create-session"), Some(request)).await
    }

    /// Ends signing in; 401 when the password is wrong.
    pub async fn srp_verify_session(
        &self,
        request: &SrpVerifySessionRequest,
    ) -> Result<Authorization, ApiFailure> {
        self.ask_once(Call::post("sign in", "/users/srp/verify-session"), Some(request)).await
    }

    /// Whether the session still holds, and the account's wrapped keys.
    pub async fn session_validity(&self) -> Result<SessionValidity, ApiFailure> {
        self.ask(Call::get("check the session", "/users/session-validity/v2"), NOTHING).await
    }

    /// Usage and quota; also how many files when `count_files`.
    pub async fn account_details(&self, count_files: bool) -> Result<AccountDetails, ApiFailure> {
        let query = [("memoryCount", if count_files { "true" } else { "false" })];
        let call = Call::get("read the account's details", "/users/details/v2").query(&query);
        self.ask(call, NOTHING).await
    }

    /// All devices that are signed in.
    pub async fn sessions(&self) -> Result<Sessions, ApiFailure> {
        self.ask(Call::get("list the sessions", "/users/sessions"), NOTHING).await
    }

    /// Signs a device out. `token` is what [`sessions`](Self::sessions) names it by.
    pub async fn end_session(&self, token: &str) -> Result<(), ApiFailure> {
        let query = [("token", token)];
        self.tell(Call::delete("end the session", "/users/session").query(&query), NOTHING).await
    }

    /// Signs this device out.
    pub async fn logout(&self) -> Result<(), ApiFailure> {
        self.tell_once(Call::post("sign out", "/users/logout"), NOTHING).await
    }

    /// The sealed text that only the account's owner can read.
    pub async fn delete_challenge(&self) -> Result<DeleteChallenge, ApiFailure> {
        self.ask(Call::get("begin to delete the account", "/users/delete-challenge"), NOTHING).await
    }

    /// Deletes the account and all that it holds.
    pub async fn delete_account(
        &self,
        request: &DeleteAccountRequest,
    ) -> Result<DeleteAccountResponse, ApiFailure> {
        self.ask_once(Call::delete("delete the account", "/users/delete"), Some(request)).await
    }
}
