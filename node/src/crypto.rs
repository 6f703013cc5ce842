//! Keys and signatures: Ed25519 (RFC 8032), verified strictly.
//!
//! A [`Signed`] value is minted by a [`Keypair`] or decoded from bytes, nothing else: its fields are
//! private, so a body can never be swapped under a signature. That makes signatures *lazy* for free:
//! a minted signature remembers the key that minted it and is valid for that key by construction; its
//! 64 bytes are computed when it is encoded (or at once, with [`SignatureMode::Eager`]). Whether the
//! key is the one that the registry lists for the claimed signer is checked every time.

use std::{fmt, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::{codec, types::ChainId};

/// Bytes of a signature on the wire.
pub const SIGNATURE_LEN: usize = 64;

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "key {:02x}{:02x}{:02x}{:02x}",
            self.0[0], self.0[1], self.0[2], self.0[3]
        )
    }
}

/// Whether a signature's bytes are computed when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignatureMode {
    /// When it is encoded.
    #[default]
    Lazy,
    /// When it is made; and checked when it is received.
    Eager,
}

/// A private key, bound to one chain.
pub struct Keypair {
    secret: SigningKey,
    public: PublicKey,
    chain: ChainId,
    mode: SignatureMode,
}

impl Keypair {
    /// The key made from 32 seeded bytes. Determinism needs the seed to be an argument.
    #[must_use]
    pub fn from_seed(seed: [u8; 32], chain: ChainId, mode: SignatureMode) -> Arc<Self> {
        let secret = SigningKey::from_bytes(&seed);
        let public = PublicKey(secret.verifying_key().to_bytes());
        Arc::new(Self {
            secret,
            public,
            chain,
            mode,
        })
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The chain that its signatures are bound to.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Signs `body` in the name of `signer`.
    pub fn sign<T: Signable>(self: &Arc<Self>, signer: T::Signer, body: T) -> Signed<T> {
        let signature = match self.mode {
            SignatureMode::Lazy => Signature(Seal::Minted(Arc::clone(self))),
            SignatureMode::Eager => {
                let bytes = self.sign_bytes(&signing_bytes(self.chain, &signer, &body));
                Signature(Seal::Bytes(Box::new(bytes)))
            }
        };
        Signed {
            body,
            signer,
            signature,
        }
    }

    fn sign_bytes(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.secret.sign(message).to_bytes()
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret of {:?}", self.public)
    }
}

/// What can be signed. The domain keeps a signature on one kind of thing from passing for another.
pub trait Signable: BorshSerialize {
    /// Who signs it: a node or a party.
    type Signer: Copy + PartialEq + fmt::Debug + BorshSerialize + BorshDeserialize;
    /// Name of the kind.
    const DOMAIN: &'static str;
}

/// What exactly is signed: domain, chain, signer, body.
fn signing_bytes<T: Signable>(chain: ChainId, signer: &T::Signer, body: &T) -> Vec<u8> {
    codec::encode(&(T::DOMAIN, chain, signer, body))
}

/// A signature; see [`Signed`]. On its own only a certificate carries it.
#[derive(Clone)]
pub struct Signature(Seal);

#[derive(Clone)]
enum Seal {
    Minted(Arc<Keypair>),
    Bytes(Box<[u8; SIGNATURE_LEN]>),
}

impl Signature {
    /// Whether `key` signed `body` in the name of `signer` for `chain`.
    ///
    /// Crate-private on purpose: only [`Signed`] and certificates know that a minted signature and
    /// its body belong together.
    pub(crate) fn verifies<T: Signable>(
        &self,
        chain: ChainId,
        key: &PublicKey,
        signer: &T::Signer,
        body: &T,
    ) -> bool {
        match &self.0 {
            Seal::Minted(minter) => minter.public == *key && minter.chain == chain,
            Seal::Bytes(bytes) => {
                let signature = ed25519_dalek::Signature::from_bytes(bytes);
                VerifyingKey::from_bytes(&key.0).is_ok_and(|key| {
                    key.verify_strict(&signing_bytes(chain, signer, body), &signature)
                        .is_ok()
                })
            }
        }
    }

    pub(crate) fn write<T: Signable, W: borsh::io::Write>(
        &self,
        signer: &T::Signer,
        body: &T,
        writer: &mut W,
    ) -> borsh::io::Result<()> {
        match &self.0 {
            Seal::Minted(minter) => {
                writer.write_all(&minter.sign_bytes(&signing_bytes(minter.chain, signer, body)))
            }
            Seal::Bytes(bytes) => writer.write_all(bytes.as_ref()),
        }
    }

    /// The same signature as bytes: it may then be put under another body, where it does not verify.
    pub(crate) fn in_bytes<T: Signable>(&self, signer: &T::Signer, body: &T) -> Self {
        match &self.0 {
            Seal::Minted(minter) => {
                let bytes = minter.sign_bytes(&signing_bytes(minter.chain, signer, body));
                Self(Seal::Bytes(Box::new(bytes)))
            }
            Seal::Bytes(_) => self.clone(),
        }
    }

    pub(crate) fn read<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let bytes = <[u8; SIGNATURE_LEN]>::deserialize_reader(reader)?;
        Ok(Self(Seal::Bytes(Box::new(bytes))))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Seal::Minted(minter) => write!(f, "minted by {:?}", minter.public),
            Seal::Bytes(bytes) => write!(f, "{:02x}{:02x}…", bytes[0], bytes[1]),
        }
    }
}

/// A body with its signer and signature. Immutable, so that lazy signatures cannot be forged.
#[derive(Clone, Debug)]
pub struct Signed<T: Signable> {
    body: T,
    signer: T::Signer,
    signature: Signature,
}

impl<T: Signable> Signed<T> {
    /// What was signed.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Who claims to have signed it; a claim until [`Signed::verify`] says so.
    pub fn signer(&self) -> T::Signer {
        self.signer
    }

    /// Whether the holder of `key` (what the registry lists for the signer) signed this for `chain`.
    #[must_use]
    pub fn verify(&self, chain: ChainId, key: &PublicKey) -> bool {
        self.signature
            .verifies(chain, key, &self.signer, &self.body)
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl<T: Signable> BorshSerialize for Signed<T> {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.body.serialize(writer)?;
        self.signer.serialize(writer)?;
        self.signature.write(&self.signer, &self.body, writer)
    }
}

impl<T: Signable + BorshDeserialize> BorshDeserialize for Signed<T> {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let body = T::deserialize_reader(reader)?;
        let signer = T::Signer::deserialize_reader(reader)?;
        let signature = Signature::read(reader)?;
        Ok(Self {
            body,
            signer,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartyId;

    #[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
    struct Note(u64);

    impl Signable for Note {
        type Signer = PartyId;
        const DOMAIN: &'static str = "note";
    }

    #[derive(BorshSerialize, BorshDeserialize)]
    struct OtherNote(u64);

    impl Signable for OtherNote {
        type Signer = PartyId;
        const DOMAIN: &'static str = "other note";
    }

    const CHAIN: ChainId = ChainId(1);

    fn key(seed: u8, mode: SignatureMode) -> Arc<Keypair> {
        Keypair::from_seed([seed; 32], CHAIN, mode)
    }

    #[test]
    fn lazy_and_eager_signatures_have_the_same_bytes() {
        let lazy = key(1, SignatureMode::Lazy).sign(PartyId(4), Note(9));
        let eager = key(1, SignatureMode::Eager).sign(PartyId(4), Note(9));
        assert_eq!(codec::encode(&lazy), codec::encode(&eager));
    }

    #[test]
    fn a_signature_is_bound_to_key_chain_signer_domain_and_body() {
        for mode in [SignatureMode::Lazy, SignatureMode::Eager] {
            let signed = key(1, mode).sign(PartyId(4), Note(9));
            let right = key(1, mode).public();
            assert!(signed.verify(CHAIN, &right));
            assert!(!signed.verify(ChainId(2), &right), "other chain");
            assert!(!signed.verify(CHAIN, &key(2, mode).public()), "other key");
        }
        let right = key(1, SignatureMode::Eager).public();
        let bytes = codec::encode(&key(1, SignatureMode::Lazy).sign(PartyId(4), Note(9)));
        let same: Signed<Note> = codec::decode(&bytes).expect("well-formed");
        assert!(same.verify(CHAIN, &right));
        let other_domain: Signed<OtherNote> = codec::decode(&bytes).expect("same shape");
        assert!(!other_domain.verify(CHAIN, &right), "other domain");
        for position in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[position] ^= 1;
            let forged: Signed<Note> = codec::decode(&forged).expect("same shape");
            assert!(!forged.verify(CHAIN, &right), "byte {position} changed");
        }
    }
}
