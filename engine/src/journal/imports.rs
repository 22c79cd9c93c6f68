//! Imports: contacts put on lists, and how far a file has been read.

use schemas::audience::NumberKey;
use schemas::change::Change;
use schemas::contact::{Contact, ListMember};
use schemas::job::{JobProgress, JobReject};
use schemas::record::Record;
use schemas::{AccountId, ContactId, JobId, Partition, Phone, UnixMicros};

use super::apply::{Applied, Applying};
use super::view::View;
use super::{Refusal, Verdict};
use crate::store::StoreError;

impl<V: View> Applying<'_, V> {
    /// Puts a number on a list, or merges the record into the contact that has it.
    pub(super) fn contact_imported(&mut self, change: &Change) -> Applied {
        let Change::ContactImported {
            account,
            list,
            job,
            line,
            contact,
            phone,
            fields,
            at,
        } = change
        else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        let (slice, number) = (phone.slice(), NumberKey::of(phone));
        let member = self
            .view
            .get::<ListMember>(&ListMember::key_of(*list, slice, number))?;
        let id = member.as_ref().map_or(*contact, |member| member.contact);
        self.merge_contact(*account, id, phone, fields, *at)?;
        match member {
            Some(member) if member.added_by == (*job, *line) => Ok(Verdict::Done),
            Some(_) => Ok(Verdict::Merged),
            None => {
                self.view.put(&ListMember {
                    list: *list,
                    slice,
                    number,
                    contact: id,
                    added_by: (*job, *line),
                    added_at: *at,
                    sequence: self.state.sequence,
                })?;
                Ok(Verdict::Done)
            }
        }
    }

    /// A later record wins field by field; a field that it does not have stays.
    fn merge_contact(
        &mut self,
        account: AccountId,
        id: ContactId,
        phone: &Phone,
        fields: &schemas::contact::ContactFields,
        at: UnixMicros,
    ) -> Result<(), StoreError> {
        let stored = self.view.get::<Contact>(&Contact::key_of(account, id))?;
        let mut contact = stored.unwrap_or_else(|| Contact {
            account,
            id,
            phone: phone.clone(),
            fields: Default::default(),
            created_at: at,
            updated_at: at,
            sequence: 0,
        });
        contact.fields.extend(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        contact.updated_at = at;
        contact.sequence = self.state.sequence;
        self.view.put(&contact)
    }

    /// Counts the records of an import and keeps the refused ones.
    pub(super) fn import_advanced(&mut self, change: &Change) -> Applied {
        let Change::ImportAdvanced {
            job,
            state,
            records,
            contacts,
            merged,
            rejects,
            resume,
            error,
            at,
        } = change
        else {
            return Ok(Verdict::Refused(Refusal::OutOfOrder));
        };
        let sequence = self.state.sequence;
        let mut progress = new_progress(*job, self.state.partition, *at);
        if let Some(stored) = self.view.get::<JobProgress>(&progress.key())? {
            progress = stored;
        }
        progress.state = *state;
        progress.records += records;
        progress.contacts += contacts;
        progress.merged += merged;
        progress.rejected += rejects.len() as u64;
        progress.resume = *resume;
        progress.error.clone_from(error);
        progress.updated_at = *at;
        progress.sequence = sequence;
        self.view.put(&progress)?;
        for reject in rejects {
            self.view.put(&JobReject {
                job: *job,
                line: reject.line,
                column: reject.column.clone(),
                reason: reject.reason.clone(),
                sequence,
            })?;
        }
        Ok(Verdict::Done)
    }
}

fn new_progress(job: JobId, partition: Partition, at: UnixMicros) -> JobProgress {
    JobProgress {
        job,
        partition,
        state: schemas::job::JobState::Pending,
        records: 0,
        contacts: 0,
        merged: 0,
        rejected: 0,
        resume: None,
        error: None,
        updated_at: at,
        sequence: 0,
    }
}
