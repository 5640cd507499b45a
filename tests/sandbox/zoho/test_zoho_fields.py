"""Field by field: every main record has exactly the fields, of the types, that the live API was seen to give.

A field is `name:type`: s text, n number, b truth value, a list, o object, e seen only empty ("", so of no known type).
"""

import json
from typing import Any

import pytest

FIELDS: dict[str, str] = {
    "invoice": (
        "account_id:s account_identifier:e account_name:s ach_payment_initiated:b ach_supported:b adjustment:n "
        "adjustment_account_id:e adjustment_account_name:e adjustment_description:e allow_partial_payments:b "
        "approver_id:e approvers_list:a attachment_name:e balance:n bcy_adjustment:n bcy_discount_total:n "
        "bcy_rounding_mode:s bcy_shipping_charge:n bcy_shipping_charge_tax:e bcy_sub_total:n bcy_tax_total:n bcy_total:n "
        "billing_address:o can_send_in_mail:b can_send_invoice_sms:b can_show_kit_return:b channel_invoice_id:e "
        "client_viewed_time:e color_code:e computation_type:s contact:o contact_category:e contact_persons:a "
        "contact_persons_associated:a contact_persons_details:a created_by_id:s created_by_name:s created_date:s "
        "created_time:s credits_applied:n currency_code:s currency_id:s currency_name_formatted:s currency_symbol:s "
        "current_sub_status:s current_sub_status_id:e custom_field_hash:o custom_fields:a customer_custom_field_hash:o "
        "customer_custom_fields:a customer_default_billing_address:o customer_id:s customer_name:s date:s "
        "deliverychallans:a discount:n discount_account_id:e discount_account_name:e discount_applied_on_amount:n "
        "discount_percent:n discount_total:n discount_type:s documents:a due_date:s early_payment_discount_amount:n "
        "early_payment_discount_due_days:e early_payment_discount_percentage:n ecomm_operator_id:e ecomm_operator_name:e "
        "email:e estimate_id:e exceptions:a exchange_invoices:a exchange_rate:n in_process_payments:a "
        "includes_package_tracking_info:b inprocess_transaction_present:b invoice_id:s invoice_installments:a "
        "invoice_number:s invoice_source:s invoice_url:s is_autobill_enabled:b is_backorder:e "
        "is_client_review_settings_enabled:b is_discount_before_tax:b is_early_payment_discount_applicable:b is_emailed:b "
        "is_inclusive_tax:b is_kit_partial_return:b is_last_child_invoice:b is_progress_invoice:b is_viewed_by_client:b "
        "issued_date:s last_modified_by_id:s last_modified_time:s last_payment_date:s last_reminder_sent_date:e "
        "line_items:a lock_detail:o lock_details:o locked_actions:a merchant_id:e merchant_name:e "
        "next_reminder_date_formatted:e notes:s offline_created_date_with_time:e orientation:s page_height:s page_width:s "
        "payment_discount:n payment_expected_date:e payment_made:n payment_options:o payment_reminder_enabled:b "
        "payment_terms:n payment_terms_id:e payment_terms_label:s price_precision:n qr_code:o "
        "reader_offline_payment_initiated:b recurring_invoice_id:e reference_number:e reminders_sent:n retention_items:a "
        "retention_override_preference:s rounding_mode:s roundoff_value:n sales_channel:s salesorder_id:e "
        "salesorder_number:e salesorders:a salesperson_id:e salesperson_name:e schedule_time:e shipping_address:o "
        "shipping_bills:a shipping_charge:n shipping_charge_account_id:e shipping_charge_account_name:e "
        "shipping_charge_exclusive_of_tax:n shipping_charge_exclusive_of_tax_formatted:s "
        "shipping_charge_inclusive_of_tax:n shipping_charge_inclusive_of_tax_formatted:s shipping_charge_tax:e "
        "shipping_charge_tax_exemption_code:e shipping_charge_tax_exemption_id:e shipping_charge_tax_formatted:e "
        "shipping_charge_tax_id:e shipping_charge_tax_name:e shipping_charge_tax_percentage:e shipping_charge_tax_type:e "
        "shipping_charge_taxes:a status:s stop_reminder_until_payment_expected_date:b sub_statuses:a sub_total:n "
        "sub_total_inclusive_of_tax:n subject_content:e submitted_by:e submitted_by_email:e submitted_by_name:e "
        "submitted_by_photo_url:e submitted_date:e submitter_id:e tags:a tax_amount_withheld:n tax_override_preference:s "
        "tax_rounding:s tax_total:n taxes:a tds_calculation_type:s template_id:s template_name:s template_type:s terms:e "
        "total:n total_retention_amount:n total_taxable_amount:n transaction_rounding_type:s unprocessed_payment_amount:n "
        "unused_retainer_payments:n write_off_amount:n zcrm_potential_id:e zcrm_potential_name:e "
    ),
    "invoice.line_items": (
        "account_id:s account_name:s available_for_sale_stock:e available_stock:e bcy_rate:n bill_id:e bill_item_id:e "
        "committed_stock:e cost_amount:n description:s discount:n discount_account_id:e discount_account_name:e "
        "discount_amount:n discounts:a documents:a expense_id:e expense_receipt_name:e header_id:e header_name:e "
        "image_document_id:e internal_name:e is_modifier_item:b item_code:o item_custom_fields:a item_id:s item_order:n "
        "item_total:n item_type:s line_item_category:s line_item_id:s line_item_taxes:a mapped_items:a markup_percent:n "
        "name:s pricebook_id:e pricing_scheme:s project_id:e purchase_rate:e quantity:n rate:n sales_rate:n "
        "salesorder_item_id:e stock_on_hand:e tags:a tax_id:e tax_name:e tax_percentage:n tax_type:s time_entry_ids:a "
        "unit:s "
    ),
    "invoice.contact": (
        "credit_limit:n customer_balance:n is_credit_limit_migration_completed:b unused_customer_credits:n "
    ),
    "invoice.billing_address": (
        "address:s attention:e city:s country:s country_code:s fax:e phone:e state:s street:s street2:e zip:s "
    ),
    "invoice.customer_default_billing_address": (
        "address:s city:s city_code:e country:s fax:e phone:e state:s state_code:e street2:e zip:s "
    ),
    "invoice.qr_code": ("is_qr_enabled:b qr_description:s qr_source:s qr_value:e "),
    "invoices": (
        "ach_payment_initiated:b adjustment:n balance:n billing_address:o client_viewed_time:e color_code:e "
        "company_name:e country:s created_by:s created_time:s currency_code:s currency_id:s currency_symbol:s "
        "current_sub_status:s current_sub_status_id:e custom_field_hash:o custom_fields:a customer_id:s customer_name:s "
        "date:s documents:e due_date:s due_days:e email:e exchange_rate:n has_attachment:b invoice_id:s invoice_number:s "
        "invoice_source:s invoice_url:s is_emailed:b is_viewed_by_client:b issued_date:s last_modified_time:s "
        "last_payment_date:s last_reminder_sent_date:e payment_expected_date:e phone:e project_name:e reference_number:e "
        "reminders_sent:n sales_channel:s salesperson_id:e salesperson_name:e schedule_time:e shipping_address:o "
        "shipping_charge:n status:s tags:a template_id:s template_type:s total:n transaction_type:s "
        "unprocessed_payment_amount:n updated_time:s write_off_amount:n zcrm_potential_id:e zcrm_potential_name:e "
    ),
    "invoices.billing_address": ("address:s attention:e city:s country:s fax:e phone:e state:s street2:e zipcode:s "),
    "contact": (
        "account_id:e account_name:e ach_supported:b addresses:a approver_id:e approvers_list:a associated_with_square:b "
        "bank_accounts:a billing_address:o can_show_customer_ob:b can_show_vendor_ob:b cards:a checks:a company_name:e "
        "consent_date:e contact_category:e contact_id:s contact_name:s contact_persons:a contact_relation_type:e "
        "contact_salutation:e contact_tax_information:e contact_type:s created_by_id:s created_by_name:s created_date:s "
        "created_time:s credit_limit_exceeded_amount:n crm_owner_id:e currency_code:s currency_id:s currency_symbol:s "
        "custom_field_hash:o custom_fields:a customer_currency_summaries:a customer_sub_type:s default_templates:o "
        "department:e designation:e documents:a email:e entity_address_id:s exchange_rate:e facebook:e first_name:e "
        "has_transaction:b integration_references:a invited_by:e is_bcy_only_contact:b is_client_review_asked:b "
        "is_client_review_settings_enabled:b is_consent_agreed:b is_credit_limit_migration_completed:b is_crm_customer:b "
        "is_linked_with_zohocrm:b is_sms_enabled:b language_code:e language_code_formatted:e last_modified_by_id:s "
        "last_modified_time:s last_name:e lock_detail:o lock_details:o locked_actions:a mobile:e notes:e "
        "opening_balance_amount:n opening_balance_amount_bcy:e opening_balances:a outstanding_ob_payable_amount:n "
        "outstanding_ob_receivable_amount:n outstanding_payable_amount:n outstanding_payable_amount_bcy:n "
        "outstanding_receivable_amount:n outstanding_receivable_amount_bcy:n owner_id:e owner_name:e "
        "payment_reminder_enabled:b payment_terms:n payment_terms_id:s payment_terms_label:s phone:e photo_url:e "
        "portal_receipt_count:n portal_status:s price_precision:n pricebook_id:e pricebook_name:e primary_contact_id:e "
        "sales_channel:s shipping_address:o source:s status:s submitted_by:e submitted_by_email:e submitted_by_name:e "
        "submitted_by_photo_url:e submitted_date:e submitter_id:e tags:a tax_id_type:e tax_id_value:e tax_reg_label:e "
        "track_1099:b twitter:e unused_credits_payable_amount:n unused_credits_payable_amount_bcy:n "
        "unused_credits_receivable_amount:n unused_credits_receivable_amount_bcy:n unused_retainer_payments:n "
        "upi_mandates:a vpa_list:a website:e zcrm_account_id:e zcrm_contact_id:e zohopeople_client_id:e "
    ),
    "contact.billing_address": (
        "address:s address_id:s attention:e city:s country:s country_code:s county:e fax:e latitude:e longitude:e phone:e "
        "state:s state_code:e street2:e zip:s "
    ),
    "contact.customer_currency_summaries": (
        "currency_code:s currency_id:s currency_name_formatted:s currency_symbol:s is_base_currency:b "
        "outstanding_receivable_amount:n price_precision:n unused_credits_receivable_amount:n "
    ),
    "contact.default_templates": (
        "bill_template_id:e bill_template_name:e creditnote_email_template_id:e creditnote_email_template_name:e "
        "creditnote_template_id:e creditnote_template_name:e estimate_email_template_id:e estimate_email_template_name:e "
        "estimate_template_id:e estimate_template_name:e invoice_email_template_id:e invoice_email_template_name:e "
        "invoice_template_id:e invoice_template_name:e payment_remittance_email_template_id:e "
        "payment_remittance_email_template_name:e paymentthankyou_email_template_id:e "
        "paymentthankyou_email_template_name:e paymentthankyou_template_id:e paymentthankyou_template_name:e "
        "statement_template_id:e statement_template_name:e "
    ),
    "contacts": (
        "ach_supported:b company_name:e contact_id:s contact_name:s contact_type:s contact_type_formatted:s "
        "contactperson_custom_fields:a created_time:s created_time_formatted:s currency_code:s currency_id:s "
        "custom_field_hash:o custom_fields:a customer_name:s customer_sub_type:s email:e facebook:e first_name:e "
        "has_attachment:b is_linked_with_zohocrm:b language_code:e language_code_formatted:e last_modified_time:s "
        "last_modified_time_formatted:s last_name:e mobile:e outstanding_payable_amount:n "
        "outstanding_payable_amount_bcy:n outstanding_receivable_amount:n outstanding_receivable_amount_bcy:n "
        "payment_terms:n payment_terms_id:s payment_terms_label:s phone:e portal_status:s portal_status_formatted:s "
        "source:s status:s tags:a track_1099:b twitter:e unused_credits_payable_amount:n "
        "unused_credits_payable_amount_bcy:n unused_credits_receivable_amount:n unused_credits_receivable_amount_bcy:n "
        "vendor_name:s website:e "
    ),
    "payment": (
        "account_id:s account_identifier:e account_name:s account_type:s amount:n attachment_name:e bank_charges:n "
        "bank_charges_account_id:e bank_charges_account_name:e beat_id:e beat_number:e can_send_in_mail:b "
        "can_send_payment_sms:b card_type:e created_by:s created_time:s currency_code:s currency_id:s currency_symbol:s "
        "custom_field_hash:o custom_fields:a customer_advance_account_id:s customer_advance_account_name:s customer_id:s "
        "customer_name:s date:s deposit_details:a description:e discount_amount:n documents:a exchange_rate:n "
        "imported_transactions:a invoices:a is_client_review_settings_enabled:b is_early_payment_discount_applicable:b "
        "is_ondc_channel:b is_payment_details_required:b journey_plan_id:e last_four_digits:e lock_details:o "
        "locked_actions:a offline_created_date_with_time:e online_transaction_id:e orientation:s page_height:s "
        "page_width:s payment_gateway:e payment_id:s payment_link_id:e payment_mode:s payment_number:s "
        "payment_number_prefix:e payment_number_suffix:s payment_refunds:a payment_status:s price_precision:n "
        "reference_number:e rounding_mode:s sales_channel:e sales_person_id:e sales_person_name:e settlement_status:e "
        "tags:a tax_account_id:e tax_account_name:e tax_amount_withheld:n template_id:s template_name:s template_type:s "
        "tender_id:e unused_amount:n updated_time:s "
    ),
    "payment.invoices": (
        "allow_partial_payments:e amount_applied:n apply_date:s balance:n date:s discount_amount:n due_date:s "
        "installments:a invoice_customer_id:e invoice_customer_name:e invoice_id:s invoice_installments:a "
        "invoice_number:s invoice_payment_id:s is_early_payment_discount_applicable:b price_precision:n "
        "tax_amount_withheld:n total:n "
    ),
    "customerpayments": (
        "account_id:s account_name:s amount:n applied_invoices:a bcy_amount:n bcy_refunded_amount:n bcy_unused_amount:n "
        "created_time:s custom_fields_list:e customer_id:s customer_name:s date:s description:e documents:e "
        "gateway_transaction_id:e has_attachment:b invoice_numbers:s last_four_digits:e last_modified_time:s "
        "payment_gateway:e payment_id:s payment_mode:s payment_mode_formatted:s payment_number:s payment_status:s "
        "payment_type:s reference_number:e sales_channel:e settlement_status:e tags:a tax_account_id:e tax_account_name:e "
        "tax_amount_withheld:n unused_amount:n "
    ),
    "expense": (
        "account_id:s account_name:s amount:n approver_email:s approver_id:e approver_name:s bcy_surcharge_amount:n "
        "bcy_total:n created_by_id:s created_time:s currency_code:s currency_id:s custom_field_hash:o custom_fields:a "
        "customer_id:e customer_name:e date:s description:s documents:a employee_email:e employee_id:e employee_name:e "
        "end_reading:e exchange_rate:n expense_id:s expense_item_id:s expense_receipt_name:e expense_receipt_type:e "
        "expense_type:s fcy_surcharge_amount:n imported_transactions:a invoice_id:e invoice_number:e is_billable:b "
        "is_inclusive_tax:b is_personal:b is_recurring_applicable:b is_reimbursable:b is_surcharge_applicable:b "
        "last_modified_by_id:s last_modified_time:s line_items:a location:e markup_percent:n merchant_id:e "
        "merchant_name:e mileage_rate:n mileage_type:s mileage_unit:s orientation:e page_height:e page_width:e "
        "paid_through_account_id:s paid_through_account_name:s payment_mode:s project_id:e project_name:e "
        "reference_number:e report_id:e report_name:e report_number:e report_status:e start_reading:e status:s "
        "sub_total:n tags:a tax_amount:n tax_id:e tax_name:e tax_override_preference:s tax_percentage:n taxes:a "
        "template_id:e template_name:e template_type:e total:n transaction_type:s transaction_type_formatted:s trip_id:e "
        "trip_number:e user_email:s user_id:e user_name:s vehicle_id:e vehicle_name:e vendor_id:e vendor_name:e "
        "zcrm_potential_id:e zcrm_potential_name:e "
    ),
    "expense.line_items": (
        "account_id:s account_name:s amount:n description:s item_order:n item_total:n line_item_id:s line_item_taxes:a "
        "tags:a tax_amount:n tax_id:e tax_name:e tax_percentage:n tax_type:s "
    ),
    "expenses": (
        "account_name:s bcy_total:n bcy_total_without_tax:n created_time:s currency_code:s currency_id:s "
        "custom_fields_list:e customer_id:e customer_name:e date:s description:s distance:n end_reading:e exchange_rate:n "
        "expense_id:s expense_receipt_name:e expense_type:s has_attachment:b is_billable:b is_personal:b "
        "last_modified_time:s mileage_rate:n mileage_type:s mileage_unit:s paid_through_account_name:s reference_number:e "
        "report_id:e report_name:e report_number:e start_reading:e status:s tags:a total:n total_without_tax:n "
        "user_name:e vendor_id:e vendor_name:e "
    ),
    "bankaccount": (
        "account_code:e account_code_prefix:e account_id:s account_name:s account_number:e account_sub_type:s "
        "account_type:s balance:n bank_balance:n bank_name:e bcy_balance:n can_access_all_branches:b "
        "can_access_all_locations:b can_access_all_locations_of_bank_account:b can_show_in_ze:b "
        "can_show_paypal_direct_integ_banner:b consent_info:o currency_code:s currency_id:s currency_symbol:s "
        "custom_field_hash:o custom_fields:a description:e feed_status:e feeds_last_refresh_date:e generation_number:e "
        "institution_id:e institution_name:e is_active:b is_beta_feed:b is_direct_paypal:b is_feeds_owner:b "
        "is_paypal_account:b is_pdf_password_stored:b is_primary_account:b is_rule_update_required:b "
        "is_undeposited_funds:b is_zlabs_supported:b last_import_duplicate_count:n latest_transaction_date:e "
        "mfa_required:b migrate_to_partner_bank:e partner_bank_source:e partner_bank_source_formatted:e "
        "payout_bank_name:e price_precision:n routing_number:e sub_corporate_cards_count:s total_unprinted_checks:n "
        "uncategorized_transactions:n "
    ),
    "bankaccounts": (
        "account_code:e account_id:s account_name:s account_number:e account_sub_type:s account_type:s balance:n "
        "bank_balance:n bank_name:e bcy_balance:n consent_info:o currency_code:s currency_id:s feed_status:e "
        "feeds_last_refresh_date:e is_active:b is_beta_feed:b is_direct_paypal:b is_paypal_account:b is_primary_account:b "
        "mfa_required:b partner_bank_source:e partner_bank_source_formatted:e payout_bank_name:e routing_number:e "
        "total_unprinted_checks:n uncategorized_transactions:n "
    ),
    "bankaccounts of cash": (
        "account_code:e account_id:s account_name:s account_sub_type:s account_type:s balance:n bank_balance:n "
        "bank_name:e bcy_balance:n currency_code:s currency_id:s feeds_last_refresh_date:e is_active:b is_direct_paypal:b "
        "mfa_required:b total_unprinted_checks:n uncategorized_transactions:n "
    ),
    "chart_of_account made": (
        "account_code:e account_code_prefix:e account_id:s account_name:s account_type:s account_type_formatted:s "
        "can_show_in_ze:b created_time:s currency_code:s currency_id:s custom_field_hash:o custom_fields:a description:e "
        "documents:a generation_number:e is_active:b is_standalone_account:b last_modified_time:s opening_balances:a "
        "parent_account_id:e parent_account_name:e status:s "
    ),
    "chart_of_account": (
        "account_code:e account_id:s account_name:s account_type:s account_type_formatted:s closing_balance:n "
        "closing_balance_formatted:s custom_fields:a description:s documents:a is_active:b is_bulk_update_supported:b "
        "is_involved_in_transaction:b is_register_supported_account:b is_system_account:b isdebit:b parent_account_id:e "
        "parent_account_name:e placeholder:s status:s transactions:a "
    ),
    "chart_of_account.transactions": (
        "credit:n credit_formatted:s customer_id:s customer_name:s date:s date_formatted:s debit:e debit_formatted:e "
        "entity_type:s entity_type_formatted:s fcy_credit:n fcy_credit_formatted:s fcy_debit:e fcy_debit_formatted:e "
        "reference_number:e transaction_id:s "
    ),
    "chartofaccounts": (
        "account_code:e account_id:s account_name:s account_type:s can_show_in_ze:b child_count:e created_time:s depth:n "
        "description:s documents:a has_attachment:b is_active:b is_child_present:b is_register_supported_account:b "
        "is_standalone_account:b is_system_account:b is_user_created:b last_modified_time:s parent_account_id:e "
        "parent_account_name:e placeholder:e "
    ),
    "creditnote": (
        "account_id:s account_name:s adjustment:n adjustment_account_id:e adjustment_account_name:e "
        "adjustment_description:e approver_id:e approvers_list:a balance:n bcy_rounding_mode:s bcy_shipping_charge_tax:e "
        "billing_address:o client_viewed_time:e color_code:e computation_type:s contact_category:e contact_persons:a "
        "contact_persons_associated:a created_by_id:s created_by_name:s created_time:s creditnote_id:s "
        "creditnote_number:s creditnote_refunds:a currency_code:s currency_id:s currency_name_formatted:s "
        "currency_symbol:s current_sub_status:s current_sub_status_id:e custom_field_hash:o custom_fields:a customer_id:s "
        "customer_name:s date:s discount:n discount_account_id:e discount_account_name:e discount_applied_on_amount:n "
        "discount_type:s documents:a exceptions:a exchange_rate:n invoice_id:e invoices_credited:a "
        "is_discount_before_tax:b is_emailed:b is_inclusive_tax:b is_viewed_by_client:b issued_date:s "
        "last_modified_by_id:s last_modified_time:s line_items:a lock_detail:o lock_details:o locked_actions:a notes:e "
        "offline_created_date_with_time:e orientation:s page_height:s page_width:s price_precision:n reference_number:e "
        "rounding_mode:s roundoff_value:n sales_channel:e salesperson_id:e salesperson_name:e shipping_address:o "
        "shipping_charge:n shipping_charge_account_id:e shipping_charge_account_name:e shipping_charge_exclusive_of_tax:n "
        "shipping_charge_exclusive_of_tax_formatted:s shipping_charge_inclusive_of_tax:n "
        "shipping_charge_inclusive_of_tax_formatted:s shipping_charge_tax:e shipping_charge_tax_exemption_code:e "
        "shipping_charge_tax_exemption_id:e shipping_charge_tax_formatted:e shipping_charge_tax_id:e "
        "shipping_charge_tax_name:e shipping_charge_tax_percentage:e shipping_charge_tax_type:e shipping_charge_taxes:a "
        "status:s sub_statuses:a sub_total:n sub_total_inclusive_of_tax:n subject_content:e submitted_by:e "
        "submitted_by_email:e submitted_by_name:e submitted_by_photo_url:e submitted_date:e submitter_id:e tags:a "
        "tax_override_preference:s tax_rounding:s tax_total:n taxes:a tds_calculation_type:s template_id:s "
        "template_name:s template_type:s terms:e total:n total_credits_used:n total_refunded_amount:n "
        "transaction_rounding_type:s "
    ),
    "creditnote.line_items": (
        "account_id:s account_name:s bcy_rate:n can_skip_stock_tracking:b description:s discount:n discount_account_id:e "
        "discount_account_name:e discount_amount:n discounts:a internal_name:e invoice_id:e invoice_item_id:e "
        "is_credit_only_item:b is_modifier_item:b item_code:o item_custom_fields:a item_id:e item_order:n item_total:n "
        "item_type:e line_item_category:s line_item_id:s line_item_taxes:a mapped_items:a name:e pricebook_id:e "
        "pricing_scheme:s project_id:e quantity:n rate:n tags:a tax_id:e tax_name:e tax_percentage:n tax_type:s unit:e "
    ),
    "creditnotes": (
        "applied_invoices:e balance:n client_viewed_time:e color_code:e created_time:s creditnote_id:s "
        "creditnote_number:s currency_code:s currency_id:s current_sub_status:s current_sub_status_id:e customer_id:s "
        "customer_name:s date:s exchange_rate:n has_attachment:b is_emailed:b is_viewed_by_client:b issued_date:s "
        "last_modified_time:s price_precision:n reference_number:e rounding_mode:s salesperson_id:s salesperson_name:s "
        "status:s tags:a template_id:s template_type:s total:n "
    ),
    "currencies": (
        "auto_exchange_rate_enabled:b currency_code:s currency_format:s currency_id:s currency_name:s "
        "currency_name_formatted:s currency_symbol:s effective_date:e exchange_rate:n is_base_currency:b "
        "price_precision:n "
    ),
    "organizations": (
        "account_created_date:s company_id_label:e company_id_value:e contact_name:s country_code:s country_name:s "
        "currency_code:s currency_format:s currency_id:s currency_symbol:s date_format:s email:s field_separator:s "
        "fiscal_year_start_month:s industry_size:s industry_type:s is_default_org:b is_dst_active:b language_code:s "
        "name:s org_settings:o organization_id:s plan_name:s plan_period:s plan_type:n portal_name:s price_precision:n "
        "tax_id_label:e tax_id_value:e time_zone:s "
    ),
    "journal": (
        "approver_id:e approvers_list:a available_payables_credits:n available_receivables_credits:n bcy_total:n "
        "bills_credited:a branch_difference:a comments:a created_time:s currency_code:s currency_id:s currency_symbol:s "
        "custom_fields:e documents:a entry_number:s exchange_rate:n fiscal_year:n imported_transactions:a "
        "invoices_credited:a is_accrual_journal:b is_period_end_journal:b is_scheduled_reversal:b journal_date:s "
        "journal_id:s journal_number_prefix:e journal_number_suffix:s journal_template_name:e journal_type:s "
        "last_modified_time:s line_item_total:n line_items:a notes:s price_precision:n project_id:e project_name:e "
        "reference_number:s reversal_date:e status:s submitted_by:e submitted_by_email:e submitted_by_name:e "
        "submitted_by_photo_url:e submitted_date:e submitter_id:e tags:a taxes:a total:n "
    ),
    "journal.line_items": (
        "account_id:s account_name:s amount:n bcy_amount:n customer_id:e customer_name:e debit_or_credit:s description:s "
        "item_order:n line_id:s line_item_taxes:a project_id:e project_name:e tags:a tax_authority_id:e "
        "tax_exemption_id:e tax_exemption_type:e tax_id:e tax_name:e tax_percentage:e tax_type:s "
    ),
    "journals": (
        "bcy_total:n created_by_id:s created_by_name:s currency_id:s entity_type:s entry_number:s journal_date:s "
        "journal_id:s journal_type:s last_modified_time:s notes:e reference_number:e status:s tags:a total:n "
    ),
}
TYPES: dict[str, tuple[type, ...]] = {"s": (str,), "n": (int, float), "a": (list,), "o": (dict,)}


def has_type(value: Any, letter: str) -> bool:
    if letter == "b":
        return isinstance(value, bool)
    if letter == "e":
        return isinstance(value, (str, int, float)) and not isinstance(value, bool)
    # A field that was seen filled may be empty here, and an empty value is "" whatever its type.
    return value == "" or (isinstance(value, TYPES[letter]) and not isinstance(value, bool))


@pytest.fixture
def records(shop: Any) -> dict[str, Any]:
    """One real answer of each kind, as JSON reads it without our decimals."""

    def get(path: str, **query: str) -> Any:
        return json.loads(shop.ok("GET", path, **query).raw)

    def post(path: str, body: Any) -> Any:
        return json.loads(shop.ok("POST", path, body).raw)

    keys, day = shop.keys, "2026-03-02"
    invoice = shop.invoice("598")
    payment = post("/customerpayments", shop.payment_body("598", {invoice: "598"}))["payment"]
    expense_body = {"account_id": keys["fees"], "date": day, "amount": 5, "paid_through_account_id": keys["clearing"]}
    expense = post("/expenses", expense_body)["expense"]
    note = post("/creditnotes", {"customer_id": shop.customer, "line_items": [{"rate": 5}]})["creditnote"]
    lines = [
        {"account_id": keys[k], "debit_or_credit": s, "amount": 1} for k, s in (("fees", "debit"), ("bank", "credit"))
    ]
    journal = post("/journals", {"journal_date": day, "line_items": lines})["journal"]
    bank = post("/bankaccounts", {"account_name": "New", "account_type": "bank"})["bankaccount"]
    made = post("/chartofaccounts", {"account_name": "Other costs", "account_type": "expense"})["chart_of_account"]
    accounts = {row["account_name"]: row for row in get("/bankaccounts")["bankaccounts"]}
    found: dict[str, Any] = {
        "invoice": get(f"/invoices/{invoice}")["invoice"],
        "contact": get(f"/contacts/{shop.customer}")["contact"],
        "payment": payment,
        "expense": expense,
        "creditnote": note,
        "journal": journal,
        "bankaccount": bank,
        "chart_of_account made": made,
        "chart_of_account": get(f"/chartofaccounts/{keys['sales']}")["chart_of_account"],
        "bankaccounts": accounts["New"],
        "bankaccounts of cash": accounts["Petty Cash"],
    }
    for name in (
        "invoices",
        "contacts",
        "customerpayments",
        "expenses",
        "chartofaccounts",
        "creditnotes",
        "journals",
        "organizations",
    ):
        found[name] = get(f"/{name}")[name][0]
    found["currencies"] = get("/settings/currencies")["currencies"][0]
    for name in FIELDS:
        owner, _, part = name.partition(".")
        if part:
            value = found[owner][part]
            found[name] = value[0] if isinstance(value, list) else value
    return found


def test_every_record_has_the_fields_the_live_api_gives(records: dict[str, Any]) -> None:
    for name, listed in FIELDS.items():
        wanted = dict(field.split(":") for field in listed.split())
        given = records[name]
        assert set(given) == set(wanted), (name, set(given) ^ set(wanted))
        wrong = {field: given[field] for field, letter in wanted.items() if not has_type(given[field], letter)}
        assert not wrong, (name, wrong)


def test_ids_are_texts_everywhere(records: dict[str, Any]) -> None:
    def check(value: Any, at: str) -> int:
        if isinstance(value, list):
            return sum(check(item, at) for item in value)
        if not isinstance(value, dict):
            return 0
        seen = 0
        for key, item in value.items():
            if key.endswith("_id"):
                assert isinstance(item, str), (at, key)
                seen += 1
            seen += check(item, f"{at}.{key}")
        return seen

    assert sum(check(record, name) for name, record in records.items()) > 100


def test_the_time_of_a_payment_has_two_names(records: dict[str, Any]) -> None:
    assert "updated_time" in records["payment"]
    assert "last_modified_time" not in records["payment"]
    assert "last_modified_time" in records["customerpayments"]
    assert "updated_time" not in records["customerpayments"]
