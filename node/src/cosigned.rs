//! One body under which several nodes put their signatures: what certificates and endorsed envelopes are
//! made of. Whose signatures count, and how many make enough, is their owner's business.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    crypto::{SIGNATURE_LEN, Signable, Signature, Signed},
    membership::Committee,
    types::NodeId,
};

/// A body and who signed it, in the order in which they are listed.
#[derive(Clone, Debug)]
pub(crate) struct Cosigned<T: Signable<Signer = NodeId>> {
    pub(crate) body: T,
    pub(crate) signatures: Vec<(NodeId, Signature)>,
}

impl<T: Signable<Signer = NodeId> + Clone + PartialEq> Cosigned<T> {
    /// Puts signatures under one body. `None` if there are none or they differ in what they say.
    pub(crate) fn collect<'a>(all: impl IntoIterator<Item = &'a Signed<T>>) -> Option<Self>
    where
        T: 'a,
    {
        let mut all = all.into_iter();
        let first = all.next()?;
        let mut signatures = vec![(first.signer(), first.signature().clone())];
        for signed in all {
            if signed.body() != first.body() {
                return None;
            }
            signatures.push((signed.signer(), signed.signature().clone()));
        }
        Some(Self {
            body: first.body().clone(),
            signatures,
        })
    }
}

impl<T: Signable<Signer = NodeId>> Cosigned<T> {
    /// Who claims to have signed it.
    pub(crate) fn signers(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.signatures.iter().map(|(signer, _)| *signer)
    }

    /// Each listed signer, with whether it is a member of the committee that signed this body.
    pub(crate) fn checked<'a>(
        &'a self,
        committee: &'a Committee,
    ) -> impl Iterator<Item = (NodeId, bool)> + 'a {
        self.signatures.iter().map(|(signer, signature)| {
            let signed = committee
                .key(*signer)
                .is_some_and(|key| signature.verifies(committee.chain(), key, signer, &self.body));
            (*signer, signed)
        })
    }

    /// Bytes of the signatures on the wire.
    pub(crate) fn signatures_len(&self) -> usize {
        4 + self.signatures.len() * (2 + SIGNATURE_LEN)
    }
}

impl<T: Signable<Signer = NodeId>> BorshSerialize for Cosigned<T> {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.body.serialize(writer)?;
        (self.signatures.len() as u32).serialize(writer)?;
        self.signatures.iter().try_for_each(|(signer, signature)| {
            signer.serialize(writer)?;
            signature.write(signer, &self.body, writer)
        })
    }
}

impl<T: Signable<Signer = NodeId> + BorshDeserialize> BorshDeserialize for Cosigned<T> {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let body = T::deserialize_reader(reader)?;
        // The count is a claim: entries are read one by one, so a lie costs what its bytes cost.
        let signatures = (0..u32::deserialize_reader(reader)?)
            .map(|_| {
                Ok((
                    NodeId::deserialize_reader(reader)?,
                    Signature::read(reader)?,
                ))
            })
            .collect::<borsh::io::Result<_>>()?;
        Ok(Self { body, signatures })
    }
}
