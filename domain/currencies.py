"""ISO 4217: how many minor digits a currency has, and which currency each GoCardless scheme collects."""

from typing import Final

from domain.errors import UnknownCurrencyError

_TWO_DIGITS: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CUP CVE CZK "
    "DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR "
    "KPW KYD KZT LAK "
    "LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP "
    "PKR PLN QAR RON "
    "RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU "
    "UZS VED VES WST "
    "XCD YER ZAR ZMW ZWG"
)
_NO_DIGITS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"

#: Digits after the decimal point of the major unit, per ISO 4217.
EXPONENTS: Final[dict[str, int]] = {
    **dict.fromkeys(_TWO_DIGITS.split(), 2),
    **dict.fromkeys(_NO_DIGITS.split(), 0),
    **dict.fromkeys(_THREE_DIGITS.split(), 3),
}

#: GoCardless API reference, mandates: a scheme collects exactly one currency.
SCHEME_CURRENCY: Final[dict[str, str]] = {
    "bacs": "GBP",
    "sepa_core": "EUR",
    "sepa_cor1": "EUR",
    "ach": "USD",
    "pad": "CAD",
    "autogiro": "SEK",
    "betalingsservice": "DKK",
    "becs": "AUD",
    "becs_nz": "NZD",
    "pay_to": "AUD",
    "faster_payments": "GBP",
}

#: The other direction: the debit scheme an invitation offers for a currency.
CURRENCY_SCHEME: Final[dict[str, str]] = {
    "GBP": "bacs",
    "EUR": "sepa_core",
    "USD": "ach",
    "CAD": "pad",
    "SEK": "autogiro",
    "DKK": "betalingsservice",
    "AUD": "becs",
    "NZD": "becs_nz",
}


def exponent(currency: str) -> int:
    """Minor digits of `currency` ("GBP" 2, "JPY" 0, "KWD" 3). Raises `UnknownCurrencyError`."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrencyError(currency) from None
