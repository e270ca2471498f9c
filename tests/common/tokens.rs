//! Keys for signed tokens, made for these tests and used nowhere else, and tokens signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// An RSA key pair (PKCS #1, base64).
pub const RSA_1: &str = "\
    MIIEogIBAAKCAQEAt67D7JHajwYOZfbr96u4xlnuwIcbJVC54bwrIXwOEkKf8hLQSaeKpqU0G/LX+0L5dWC9IHKX\
    xfRlDF2r7pdKxOxCQzss3R2NmFX9TtRszdKYlWY7e3otSnlOvNmwiYxRpyVel3yS4XeTmxCp1uovc67unRdZsKAW\
    m83OFHyDp2Tn4lMrD/XqcSkQBwM/mgV4YK3O13J0J+KuC25JEtdk4EHPUIITkTLz2aAQkgu7A53aSsLv0Ess2eEB\
    ZbfnB/Ofogvgczf2OWvQvem4yykZtxLHAC/ZKLBUo4wdF2OAXfSEJxBEqiX1Yfo0oLKQxbMbb/vXFVlstBAl/cD9\
    CBS2CQIDAQABAoIBADN1Sn4j/k7DK5V1L3YbLZCj8TcOopQ5oVmUFaEz191VvOlcS+3WeglljsulpMxHXwt7JoDI\
    maxjY0urklctG00/wvCCy3bGqLxcmrJS4Ihoz0ZLda6J89ZBVcWiVsqx/M4OsglOZPe1QCzY5jvHL7QA9egceov4\
    zVyos2sZ1ug16xxDamdLtXUTn3c6Js4sTZ3E81HmZI6VNz5j1C6b37Vkm4gDqTgvhPFznMVVxt9i04lgt8f2GNsE\
    LWLiHdE1bL3pXcAVCUyBoxVAvncGCccxcuIlS38W3mUx9j51YTsLyv3UlfRTThubURAOxp0j+Riv4t0tHFulD3tJ\
    3MKjnmECgYEA3HJvW7E0e89UQyeCksE5V19iCCpyQnAvGj0QuJqObSExNjFeweJXzmMwD4QaesjLH/rRJuCqv1EY\
    OK5zjKad5oXjxrk7NjWrp9Yb8cGEfQEb28NCdlx1S5PcURzSCLEJcK2E97wK2BjgbsSiHgi/90XbU1sERPf9fFFH\
    cXUTe6cCgYEA1U5yRiE1Q1dNiswutzdYg3jWov8v2KJCf8n46cjuv/SMEU3/t+r4METnKTK3olGqpEdoV9FtU/l8\
    7TRt80O60CdWc/KdPygS7uqmkp0oHVznuDYCRy9AUCvnMAfKsgIuekxfogcTKR/rhwL/EL7PW/wLYfhaYGPRz3u1\
    x6Kdts8CgYBF4mE7CCpDNa7YuyXBsE+lSy+gtxQRy86i2sj6PMT6A5O+QlhvznlXjEooIRDj69O5B6JWWNLIY8Tx\
    8xvectOLyNY0oXQL82e/hTjGozqFBlz2higDrbvhgbZOYHyVFMqRVfDZOFuXtgswElXyf4ObuCGXgzsPQi6xwnKL\
    nTnX8QKBgDWhub3ET74Uz1xcpkpO0iSMV3s4KnGPqqSyxbESYmVFOYqIUAmQPML2MCD9rYpUelE/2w5pi9GXYz/I\
    9PQ7TVdU7LnOgJcGnmwP973ZYeKwH1sDyWLYkJUX1NMQwngrcEAzv7/fg4PNkMyrhjJRp5V7M+l4JlEiB/jhI/2D\
    95+lAoGAZ+YZN+vrW1lWnCqo8latrOFZum2ZkcVvC2vSMEzC+AGOnMoJUQZ0MrcFBFJZPJ4eC6bV12bSWh2p1e4f\
    cS8YJrDYDfThPmqc7+f8aqSV7YAmBTGfrGqXdSeTJZPkwIfZL1X5XDBz6WR5673GOdjlcm0e5EZ92U0G3hmDg9lj\
    RAc=";
/// Its modulus (base64url).
pub const RSA_1_MODULUS: &str = "\
    t67D7JHajwYOZfbr96u4xlnuwIcbJVC54bwrIXwOEkKf8hLQSaeKpqU0G_LX-\
    0L5dWC9IHKXxfRlDF2r7pdKxOxCQzss3R2NmFX9TtRszdKYlWY7e3otSnlOvNmwiYxRpyVel3yS4XeTmxCp1uovc\
    67unRdZsKAWm83OFHyDp2Tn4lMrD_XqcSkQBwM_mgV4YK3O13J0J-\
    KuC25JEtdk4EHPUIITkTLz2aAQkgu7A53aSsLv0Ess2eEBZbfnB_Ofogvgczf2OWvQvem4yykZtxLHAC_ZKLBUo4\
    wdF2OAXfSEJxBEqiX1Yfo0oLKQxbMbb_vXFVlstBAl_cD9CBS2CQ";
/// An RSA key pair (PKCS #1, base64).
pub const RSA_2: &str = "\
    MIIEowIBAAKCAQEA3Vas9KjsEPh+y8elGBKExgTRGkbBsx0daodMhg1NYMhYzxyIY/82vMvG/s6lJblTRWbv7cWi\
    jft2ADHvhPlMNg0VyK1U4hcH5ckdWTiMo9Wf4j47DFSwVU0nuLK2bm3rBUOL6WXPJ4zVCpgyuZsvdu+k2sTE+ulR\
    DkXnQt48hIbIdYu9w1Vp76G+xZV6nInR2IR69PMLhi8HIf3Iry/uJC/7EroddEYnmGoGJREflddjsTJsA61DDVQR\
    MFvXI+/RpoDO3D84Z9b6ByoBzsFbVAAO+hcZ70nsLDQ2T0Lq6rEs8E5L0xEM/cvcmZ/yk+6OKmwomxdsrWe9VOcj\
    ObFXEwIDAQABAoIBABf0+Tx0CjUeCG9bGRn9aySZwd5DuVR/Or9cjKJXzz/B/6bPMk4Mgiq2LcBHsqVeJU62QRLt\
    2NXgWVnVDdVJPH//M5Poeu8Lyh2LgqM1FTfod+k/jhmcEwfwlXOO2GMkf5Mux/aHv//KZQbECX2AeAc6EhBhyuZT\
    maPfWhQpRMidMI5Sc4drzVO2qxOIxK4WmsCwEjk/pGFAqhUzkV9Y9eAZ7WuuUUkilhuWljiYegfraGN26PXP0df/\
    KdsjlQFPF2RIpq1FubFTjdSkXzajgKAcFx/qRYklrrR6VsaQ1SIH3gEkfKQMVpRelQ84kidiBzSbuN6CPQ0hLU7N\
    32US+i0CgYEA78xFgGFL/hjidXOnFGfBBe4bBWMpQ/r2NEdEX4C0hgSFoo0nuThEXhWlfsHbiJkF+7bbbMs/EpdB\
    JatJt3gSElMVF9G5plyTqTygxBUACJ8Jshs1Ui+jYNKGMz1n7gNVO0a04nOzlEcywpMMAqFaL3SNMjqhWAuEtBgO\
    Dh94QW8CgYEA7Esd7u3jpQ7ZK4n70RcN8xSEPaMwKQ+mfLbBeWOFfFTeRxGSbcgg7GvFkHUaP13GObKn0mOxBW5n\
    l0tZGzffF+4GryiImm7TG6kXi/eM6Wl93rO0au3/3vIQx4szuXnGFOKoKXT7wUNy9S9/n51B+Ydokm/eFoglmu5i\
    FqybKp0CgYBt4P4f23WE00ZBZ2Mx2HD8FKTRDSUFf2N9hQJxeHo/xqatW1zOZFf/fI++y3ma1/OD6cAV0/Pswt4Z\
    MqmuphgxyVwq8/DLqDQJIjzQXIcNbEJ3GDyQkj+cyBqyM/sBdwmBBd8wvK+WzCEYQ2UHd4PpptBkKbVwsKZ4F2Wp\
    VwY1hQKBgQDryPkRlif2aJ6kJ4gz2IF+8hYTO2evUYKcJ/Ffo8NrkXRMDmjDS1QvFkuKHpAWcwh+QpvcAMZ/2O9d\
    tT4xPstLIaVh21yUXcoia9SnQlpF/5IuS7vYh60vVvUPaQQwLCdQZ+vNkoI1E4z+xGrhZxaSXGAo36AJc8myk/Ul\
    Ew+ysQKBgFY933oyVRxG2z/fCLjG8+fccYyqP3zCKMit9PJQ0GOVDuTRxBShpwXA/gmoFxB4/6c/RC+639YBC+ek\
    a2cljJItqLYvJMnMuh1HXfp/4gCXkAsEZPraJid0SsS/TigHo3nyT3OqYUxr3V7QWPA/GlEaeG7sB/6SfrdNtF89\
    bto3";
/// Its modulus (base64url).
pub const RSA_2_MODULUS: &str = "\
    3Vas9KjsEPh-\
    y8elGBKExgTRGkbBsx0daodMhg1NYMhYzxyIY_82vMvG_s6lJblTRWbv7cWijft2ADHvhPlMNg0VyK1U4hcH5ckd\
    WTiMo9Wf4j47DFSwVU0nuLK2bm3rBUOL6WXPJ4zVCpgyuZsvdu-k2sTE-ulRDkXnQt48hIbIdYu9w1Vp76G-\
    xZV6nInR2IR69PMLhi8HIf3Iry_uJC_7EroddEYnmGoGJREflddjsTJsA61DDVQRMFvXI-\
    _RpoDO3D84Z9b6ByoBzsFbVAAO-hcZ70nsLDQ2T0Lq6rEs8E5L0xEM_cvcmZ_yk-6OKmwomxdsrWe9VOcjObFXEw";
/// A P-256 key pair (PKCS #8, base64).
pub const EC: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXNngVsQQEI8F+YNryjW80ErDJi3dpCAdb6uyuDGW\
    1C6hRANCAATvxfRKdaGnqZyZH3qw4qAnRKvAmVWZeabdM65YjXc/8zrWJqh1/vZxzvGbRyA0Emx5uyRK1gi8pAFw\
    0YsnLh1M";
/// Its point.
pub const EC_X: &str = "\
    78X0SnWhp6mcmR96sOKgJ0SrwJlVmXmm3TOuWI13P_M";
/// Its point.
pub const EC_Y: &str = "\
    OtYmqHX-9nHO8ZtHIDQSbHm7JErWCLykAXDRiycuHUw";
/// The public half of the first pair (the inside of its PEM).
pub const RSA_1_PEM: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAt67D7JHajwYOZfbr96u4xlnuwIcbJVC54bwrIXwOEkKf\
    8hLQSaeKpqU0G/LX+0L5dWC9IHKXxfRlDF2r7pdKxOxCQzss3R2NmFX9TtRszdKYlWY7e3otSnlOvNmwiYxRpyVe\
    l3yS4XeTmxCp1uovc67unRdZsKAWm83OFHyDp2Tn4lMrD/XqcSkQBwM/mgV4YK3O13J0J+KuC25JEtdk4EHPUIIT\
    kTLz2aAQkgu7A53aSsLv0Ess2eEBZbfnB/Ofogvgczf2OWvQvem4yykZtxLHAC/ZKLBUo4wdF2OAXfSEJxBEqiX1\
    Yfo0oLKQxbMbb/vXFVlstBAl/cD9CBS2CQIDAQAB";
/// The public half of the P-256 pair (the inside of its PEM).
pub const EC_PEM: &str = "\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE78X0SnWhp6mcmR96sOKgJ0SrwJlVmXmm3TOuWI13P/M61iaodf72\
    cc7xm0cgNBJsebskStYIvKQBcNGLJy4dTA==";

/// A token with these claims, signed with an RSA pair under the name of its key.
pub fn rs256(pair: &str, id: &str, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_der(&STANDARD.decode(pair).expect("base64"));
    sign(Algorithm::RS256, Some(id), claims, &key)
}

/// A token signed with the P-256 pair.
pub fn es256(claims: &Value) -> String {
    let key = EncodingKey::from_ec_der(&STANDARD.decode(EC).expect("base64"));
    sign(Algorithm::ES256, None, claims, &key)
}

/// A token signed with a shared secret.
pub fn hs(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    sign(algorithm, None, claims, &EncodingKey::from_secret(secret))
}

fn sign(algorithm: Algorithm, id: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).expect("a token")
}

/// A JWK of an RSA modulus.
pub fn rsa_jwk(id: &str, modulus: &str) -> Value {
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": modulus, "e": "AQAB"})
}

/// The JWK of the P-256 pair.
pub fn ec_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y})
}

/// Seconds since 1970, with a difference.
pub fn in_seconds(difference: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a time after 1970").as_secs() as i64 + difference
}
