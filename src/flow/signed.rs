//! A signed link that somebody clicked twice.

use super::{BrowserToken, Flows};
use crate::model::{Result, SecretString, Signature};

impl Flows {
    /// The provider's page of the flow that a signature has begun, for the browser that has opened it, as long as it waits. Only for
    /// a signature that the layer has verified in this request.
    pub async fn reopen(&self, signature: &str, browser: &BrowserToken) -> Result<Option<SecretString>> {
        let once = Signature::parse(signature).and_then(|signature| signature.once());
        let Some(once) = once else { return Ok(None) };
        let flow = self.store().get_flow_by_signature(&once, &browser.digest()).await?;
        let flow = flow.filter(|flow| self.now() < flow.expire_time);
        Ok(flow.map(|flow| flow.authorization_url))
    }
}
