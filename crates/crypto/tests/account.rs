//! An account's life: made, unlocked both ways, given a new password, and attacked by its server.

use darkslide_crypto::account::{AccountKeys, EncodedKeyAttributes, NewAccount, UnlockError};
use darkslide_crypto::kdf::{PasswordStrength, Salt, derive_login_key};
use darkslide_crypto::keys::{CollectionKey, EntityKey, FileKey, KeyEncryptionKey, KeyPair, Wraps};
use darkslide_crypto::recovery::{self, RecoveryError};
use darkslide_crypto::{OpenError, sealed_box, secret_box};
use proptest::prelude::*;

/// An account under a key that no password was derived to: derivation has tests of its own, and takes seconds.
fn new_account(kek: u8) -> NewAccount {
    let key = KeyEncryptionKey::take([kek; 32]);
    AccountKeys::generate_under(&key, Salt::generate(), PasswordStrength::ACCOUNT)
}

#[test]
fn a_new_account_unlocks_by_password_key_and_by_phrase() {
    let account = new_account(1);
    let kek = KeyEncryptionKey::take([1; 32]);
    assert_eq!(account.attributes.unlock(&kek).unwrap(), account.keys);
    assert_eq!(account.login_key, derive_login_key(&kek));
    let phrase = recovery::to_phrase(&account.recovery_key);
    let typed = recovery::parse(&phrase).unwrap();
    assert_eq!(account.attributes.unlock_with_recovery_key(&typed).unwrap(), account.keys);
    assert_eq!(account.keys.recovery_key(&account.attributes).unwrap(), account.recovery_key);
}

#[test]
fn attributes_survive_being_written_as_text() {
    let account = new_account(1);
    let mut without_recovery = account.attributes;
    without_recovery.recovery = None;
    for attributes in [account.attributes, without_recovery] {
        assert_eq!(EncodedKeyAttributes::from(&attributes).decode().unwrap(), attributes);
    }
}

#[test]
fn a_new_password_keeps_every_key_but_its_own() {
    let account = new_account(1);
    let (old, new) = (KeyEncryptionKey::take([1; 32]), KeyEncryptionKey::take([2; 32]));
    let mut attributes = account.attributes;
    attributes.password =
        account.keys.password_attributes(&new, Salt::generate(), PasswordStrength::ACCOUNT_LOW_MEMORY);
    assert_eq!(attributes.unlock(&new).unwrap(), account.keys);
    assert!(matches!(attributes.unlock(&old), Err(UnlockError::Locked(_))));
    assert_eq!(attributes.unlock_with_recovery_key(&account.recovery_key).unwrap(), account.keys);
}

#[test]
fn a_weak_strength_is_refused_for_a_new_account_before_any_work() {
    assert!(AccountKeys::generate("password", PasswordStrength::INTERACTIVE).is_err());
    assert!(new_account(1).keys.change_password("password", PasswordStrength::MODERATE).is_err());
}

#[test]
fn a_public_key_that_the_server_exchanged_is_noticed() {
    let mut attributes = new_account(1).attributes;
    attributes.public_key = *KeyPair::generate().public_key();
    let opened = attributes.unlock(&KeyEncryptionKey::take([1; 32]));
    assert!(matches!(opened, Err(UnlockError::KeyPairMismatch)), "{opened:?}");
}

/// The recovery key is wrapped by the master key as well: in the secret key's place it opens, and is noticed.
#[test]
fn a_wrapped_key_that_the_server_moved_is_noticed() {
    let mut attributes = new_account(1).attributes;
    attributes.secret_key = attributes.recovery.unwrap().recovery_key;
    let opened = attributes.unlock(&KeyEncryptionKey::take([1; 32]));
    assert!(matches!(opened, Err(UnlockError::KeyPairMismatch)), "{opened:?}");
}

#[test]
fn an_account_without_recovery_says_so() {
    let account = new_account(1);
    let mut attributes = account.attributes;
    attributes.recovery = None;
    let opened = attributes.unlock_with_recovery_key(&account.recovery_key);
    assert!(matches!(opened, Err(UnlockError::NoRecovery)), "{opened:?}");
}

#[test]
fn malformed_attributes_are_errors() {
    let good = EncodedKeyAttributes::from(&new_account(1).attributes);
    let bad: [fn(&mut EncodedKeyAttributes); 8] = [
        |text| text.kek_salt.clear(),
        |text| text.public_key.push('='),
        |text| text.encrypted_key = text.public_key.clone(),
        |text| text.key_decryption_nonce = text.kek_salt.clone(),
        |text| text.encrypted_secret_key = "*".to_owned(),
        |text| text.recovery_key_decryption_nonce.clear(),
        |text| text.mem_limit = u64::MAX,
        |text| text.ops_limit = 0,
    ];
    for (index, spoil) in bad.into_iter().enumerate() {
        let mut text = good.clone();
        spoil(&mut text);
        assert!(text.decode().is_err(), "spoilt in way {index}");
    }
}

#[test]
fn a_token_of_another_length_is_no_token() {
    let pair = KeyPair::generate();
    for length in [0, 31, 33] {
        let sealed = sealed_box::seal(pair.public_key(), &vec![7; length]).unwrap();
        assert_eq!(pair.open_session_token(&sealed), Err(OpenError), "{length} bytes");
    }
}

#[test]
fn what_is_sealed_to_another_does_not_open() {
    let sealed = KeyPair::generate().public_key().seal_collection_key(&CollectionKey::generate()).unwrap();
    assert_eq!(KeyPair::generate().open_collection_key(&sealed), Err(OpenError));
}

#[test]
fn a_shared_collection_opens() {
    let (pair, key) = (KeyPair::generate(), CollectionKey::generate());
    let sealed = pair.public_key().seal_collection_key(&key).unwrap();
    assert_eq!(pair.open_collection_key(&sealed), Ok(key));
}

#[test]
fn keys_wrap_and_unwrap_along_every_edge() {
    let account = new_account(1);
    let (collection, entity, file) = (CollectionKey::generate(), EntityKey::generate(), FileKey::generate());
    let master = &account.keys.master_key;
    assert_eq!(master.unwrap_key(&master.wrap_key(&collection)), Ok(collection));
    assert_eq!(master.unwrap_key(&master.wrap_key(&entity)), Ok(entity));
    let collection = CollectionKey::generate();
    assert_eq!(collection.unwrap_key(&collection.wrap_key(&file)), Ok(file));
}

#[test]
fn every_altered_bit_of_a_wrapped_key_is_noticed() {
    let collection = CollectionKey::generate();
    let wrapped = collection.wrap_key(&FileKey::generate());
    for bit in 0..wrapped.ciphertext.len() * 8 {
        let mut altered = wrapped;
        altered.ciphertext[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Wraps::<FileKey>::unwrap_key(&collection, &altered), Err(OpenError), "bit {bit}");
    }
}

#[test]
fn phrases_as_people_type_them() {
    let key = new_account(1).recovery_key;
    let phrase = recovery::to_phrase(&key).to_string();
    let hex = key.expose().iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    let swapped = {
        let mut words: Vec<&str> = phrase.split(' ').collect();
        words.swap(0, 1);
        words.join(" ")
    };
    for accepted in [
        phrase.to_uppercase(),
        format!("  {}\n", phrase.replace(' ', " \t\r\n ")),
        hex.clone(),
        format!(" {}\n", hex.to_uppercase()),
    ] {
        assert_eq!(recovery::parse(&accepted).as_ref(), Ok(&key), "{accepted:?}");
    }
    for (refused, error) in [
        (String::new(), RecoveryError::WordCount { words: 0 }),
        (phrase.rsplit_once(' ').unwrap().0.to_owned(), RecoveryError::WordCount { words: 23 }),
        (format!("{phrase} abandon"), RecoveryError::WordCount { words: 25 }),
        (hex[1..].to_owned(), RecoveryError::WordCount { words: 1 }),
        (format!("{}g", &hex[1..]), RecoveryError::WordCount { words: 1 }),
        (
            phrase.replacen(' ', " darkslide ", 1).rsplit_once(' ').unwrap().0.to_owned(),
            RecoveryError::UnknownWord { position: 2 },
        ),
    ] {
        assert_eq!(recovery::parse(&refused), Err(error), "{refused:?}");
    }
    if swapped != phrase {
        // Two words that change places keep the checksum once in 256 phrases; they never keep the key.
        assert_ne!(recovery::parse(&swapped), Ok(key));
    }
}

#[test]
fn a_wrong_word_breaks_the_checksum() {
    let wrong = format!("{}zoo", "abandon ".repeat(23));
    assert_eq!(recovery::parse(&wrong), Err(RecoveryError::Checksum));
}

proptest! {
    #[test]
    fn any_recovery_key_survives_being_written_down(bytes: [u8; 32]) {
        let key = darkslide_crypto::keys::RecoveryKey::take(bytes);
        prop_assert_eq!(recovery::parse(&recovery::to_phrase(&key)), Ok(key));
    }

    #[test]
    fn no_text_makes_the_phrase_parser_panic(text in ".{0,300}") {
        let _ = recovery::parse(&text);
    }

    #[test]
    fn any_message_survives_both_boxes(message: Vec<u8>) {
        let key = CollectionKey::generate();
        let sealed = secret_box::seal(&key, &message);
        prop_assert_eq!(&*secret_box::open(&key, &sealed.ciphertext, &sealed.nonce).unwrap(), &message);
        let pair = KeyPair::generate();
        let sealed = sealed_box::seal(pair.public_key(), &message).unwrap();
        prop_assert_eq!(&*sealed_box::open(&pair, &sealed).unwrap(), &message);
    }
}
