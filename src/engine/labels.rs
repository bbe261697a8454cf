//! Labels: names given to commits and steps. Setting, moving and removing one are operations.

use crate::debug::rev;
use crate::model::{OpKind, RefChange, RefTarget, Time};

use super::api::{ApiError, ErrorCode};
use super::core::{Core, Failure};

impl Core {
    pub(super) fn label(&self, name: &str, text: Option<&str>) -> Result<String, Failure> {
        let fits = !name.is_empty()
            && name.len() <= 100
            && name != "@"
            && !name.contains(['~', '^', ':', '/', '\\', '"'])
            && name.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if !fits {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "{:?} cannot be a label: 1 to 100 characters without spaces, control characters, ~ ^ : / \\ or quotes",
                    crate::model::neutral(name.as_bytes())
                ),
            )
            .into());
        }
        let full = format!("label/{name}");
        let before = self.store.get_ref(&full)?;
        let (after, description) = match text {
            None if before.is_none() => {
                return Err(ApiError::new(
                    ErrorCode::NotFound,
                    format!("there is no label {name:?}"),
                )
                .into());
            }
            None => (None, format!("removed the label {name}")),
            Some(text) => {
                let named = rev::resolve(&self.store, &*self.store, text, Time::now());
                let step = text
                    .trim()
                    .strip_prefix("step:")
                    .and_then(|s| s.parse().ok());
                let target = match step {
                    // A step may be labelled before any state is known at it.
                    Some(ordinal) => {
                        let step = self.store.step_by_ordinal(ordinal)?;
                        RefTarget::Step(
                            step.ok_or_else(|| rev::Error::NotFound(text.to_owned()))?
                                .id,
                        )
                    }
                    None => RefTarget::Commit(named?.commit),
                };
                (Some(target), format!("labelled {} {name}", text.trim()))
            }
        };
        let shown = match &after {
            Some(RefTarget::Step(id)) => self.store.step(*id)?,
            Some(RefTarget::Commit(id)) => match self.store.link_of_commit(*id)? {
                Some(link) => self.store.step(link.step)?,
                None => None,
            },
            _ => None,
        };
        let _ = self.refs_moved(
            OpKind::Label,
            description.clone(),
            vec![RefChange {
                name: full,
                before,
                after,
            }],
            None,
        )?;
        if let Some(step) = shown {
            self.tell_row(&step);
        }
        Ok(description)
    }
}
